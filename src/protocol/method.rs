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
    /// `resources/list`.
    ResourcesList,
    /// `resources/templates/list`.
    TemplatesList,
    /// `resources/read`.
    ResourcesRead,
    /// `resources/subscribe`, legacy era.
    Subscribe,
    /// `resources/unsubscribe`, legacy era.
    Unsubscribe,
    /// `prompts/list`.
    PromptsList,
    /// `prompts/get`.
    PromptsGet,
    /// `completion/complete`.
    Complete,
    /// `subscriptions/listen`, modern era.
    Listen,
    /// `tasks/get`, extension of the modern era.
    TasksGet,
    /// `tasks/update`, extension of the modern era.
    TasksUpdate,
    /// `tasks/cancel`, extension of the modern era.
    TasksCancel,
    /// `notifications/initialized`, legacy era.
    Initialized,
    /// `notifications/cancelled`.
    Cancelled,
    /// `notifications/roots/list_changed`, legacy era.
    RootsListChanged,
}

impl Method {
    /// How many there are; the numbers of their variants lie below.
    pub const COUNT: usize = 21;
    /// All of them, those that are asked for most first.
    pub const ALL: [Self; Self::COUNT] = [
        Self::ToolsCall,
        Self::ToolsList,
        Self::Ping,
        Self::Cancelled,
        Self::Initialize,
        Self::Initialized,
        Self::Discover,
        Self::SetLevel,
        Self::RootsListChanged,
        Self::ResourcesList,
        Self::TemplatesList,
        Self::ResourcesRead,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::PromptsList,
        Self::PromptsGet,
        Self::Complete,
        Self::Listen,
        Self::TasksGet,
        Self::TasksUpdate,
        Self::TasksCancel,
    ];
    /// The request that a server may send to a client of the legacy era with roots.
    pub const ROOTS_LIST: &'static str = "roots/list";
    /// The request for a form that a person fills in.
    pub const ELICIT: &'static str = "elicitation/create";
    /// The request for a message that a model writes.
    pub const SAMPLE: &'static str = "sampling/createMessage";
    /// The first message of a subscription.
    pub const ACKNOWLEDGED: &'static str = "notifications/subscriptions/acknowledged";
    /// The notification that the list of tools changed.
    pub const TOOLS_CHANGED: &'static str = "notifications/tools/list_changed";
    /// The notification that the list of prompts changed.
    pub const PROMPTS_CHANGED: &'static str = "notifications/prompts/list_changed";
    /// The notification that the list of resources changed.
    pub const RESOURCES_CHANGED: &'static str = "notifications/resources/list_changed";
    /// The notification that a resource changed.
    pub const RESOURCE_UPDATED: &'static str = "notifications/resources/updated";
    /// The notification of progress.
    pub const PROGRESS: &'static str = "notifications/progress";
    /// The notification that carries a log message.
    pub const LOG_MESSAGE: &'static str = "notifications/message";

    /// The name in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Ping => "ping",
            Self::Discover => "server/discover",
            Self::ToolsList => "tools/list",
            Self::ToolsCall => "tools/call",
            Self::SetLevel => "logging/setLevel",
            Self::ResourcesList => "resources/list",
            Self::TemplatesList => "resources/templates/list",
            Self::ResourcesRead => "resources/read",
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
            Self::PromptsList => "prompts/list",
            Self::PromptsGet => "prompts/get",
            Self::Complete => "completion/complete",
            Self::Listen => "subscriptions/listen",
            Self::TasksGet => "tasks/get",
            Self::TasksUpdate => "tasks/update",
            Self::TasksCancel => "tasks/cancel",
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
        !matches!(
            self,
            Self::Initialize
                | Self::Ping
                | Self::SetLevel
                | Self::Subscribe
                | Self::Unsubscribe
                | Self::Initialized
                | Self::RootsListChanged
        )
    }

    /// Whether the method exists in the handshake revisions.
    pub const fn is_legacy(self) -> bool {
        !matches!(
            self,
            Self::Discover | Self::Listen | Self::TasksGet | Self::TasksUpdate | Self::TasksCancel
        )
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
