//! The names of methods: the only place that spells them.

/// A method that this server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// `initialize`: the handshake of the legacy era.
    Initialize,
    /// `ping`, legacy era.
    Ping,
    /// `server/discover`, modern era.
    Discover,
    /// `tools/list`.
    ToolsList,
    /// `tools/call`.
    ToolsCall,
    /// `logging/setLevel`, legacy era.
    SetLevel,
    /// `notifications/initialized`, legacy era.
    Initialized,
    /// `notifications/cancelled`.
    Cancelled,
    /// `notifications/roots/list_changed`, legacy era.
    RootsListChanged,
}

impl Method {
    const ALL: [Self; 9] = [
        Self::ToolsCall,
        Self::ToolsList,
        Self::Ping,
        Self::Cancelled,
        Self::Initialize,
        Self::Initialized,
        Self::Discover,
        Self::SetLevel,
        Self::RootsListChanged,
    ];
    /// The request that a server may send to a client of the legacy era with roots.
    pub const ROOTS_LIST: &'static str = "roots/list";
    /// The notification of progress.
    pub const PROGRESS: &'static str = "notifications/progress";
    /// The notification that carries a log message.
    pub const LOG_MESSAGE: &'static str = "notifications/message";

    /// The name as it stands in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Ping => "ping",
            Self::Discover => "server/discover",
            Self::ToolsList => "tools/list",
            Self::ToolsCall => "tools/call",
            Self::SetLevel => "logging/setLevel",
            Self::Initialized => "notifications/initialized",
            Self::Cancelled => "notifications/cancelled",
            Self::RootsListChanged => "notifications/roots/list_changed",
        }
    }

    /// The method of that name, if this server knows it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Whether messages of this method never have an answer.
    pub const fn is_notification(self) -> bool {
        matches!(self, Self::Initialized | Self::Cancelled | Self::RootsListChanged)
    }

    /// Whether the method exists in the modern era (a request) or is read there (a notification).
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::Discover | Self::ToolsList | Self::ToolsCall | Self::Cancelled)
    }

    /// Whether the method exists in the handshake revisions.
    pub const fn is_legacy(self) -> bool {
        !matches!(self, Self::Discover)
    }
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn every_name_parses_to_itself() {
        for method in Method::ALL {
            assert_eq!(Method::parse(method.as_str()), Some(method));
        }
        assert_eq!(Method::parse("tools/Call"), None);
    }
}
