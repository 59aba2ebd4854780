//! The names of methods: the only place that spells them.
//!
//! To add a method:
//! 1. a variant with its name in `methods!` and in [`Method::ALL`], and in [`Method::is_modern`] or
//!    [`Method::is_legacy`] if only one era has it;
//! 2. an arm in `serve_method` (`server/serving/methods.rs`), or in `take_notification` (`from_client.rs`);
//! 3. an arm in `Families::serves` (`server/handler/families.rs`): whether a handler must be registered for it;
//! 4. if HTTP clients repeat a name of its body in the header `Mcp-Name`, a row in `Unchecked::unmirrored`
//!    (`server/incoming/checks.rs`).

/// Defines [`Method`] and what follows from its list of variants. [`Method::ALL`] does not compile while one is missing
/// there, as its length is counted here.
macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// A method that this server knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Method {
            $($(#[$doc])* $variant,)+
        }

        impl Method {
            /// How many there are; the numbers of their variants lie below.
            pub const COUNT: usize = [$($name),+].len();

            /// The name in messages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

methods! {
    /// `initialize`: the handshake of the legacy era.
    Initialize = "initialize",
    /// `ping`, legacy era.
    Ping = "ping",
    /// `server/discover`, modern era.
    Discover = "server/discover",
    /// `tools/list`.
    ToolsList = "tools/list",
    /// `tools/call`.
    ToolsCall = "tools/call",
    /// `logging/setLevel`, legacy era.
    SetLevel = "logging/setLevel",
    /// `resources/list`.
    ResourcesList = "resources/list",
    /// `resources/templates/list`.
    TemplatesList = "resources/templates/list",
    /// `resources/read`.
    ResourcesRead = "resources/read",
    /// `resources/subscribe`, legacy era.
    Subscribe = "resources/subscribe",
    /// `resources/unsubscribe`, legacy era.
    Unsubscribe = "resources/unsubscribe",
    /// `prompts/list`.
    PromptsList = "prompts/list",
    /// `prompts/get`.
    PromptsGet = "prompts/get",
    /// `completion/complete`.
    Complete = "completion/complete",
    /// `subscriptions/listen`, modern era.
    Listen = "subscriptions/listen",
    /// `tasks/get`, extension of the modern era, and in revision 2025-11-25.
    TasksGet = "tasks/get",
    /// `tasks/update`, extension of the modern era.
    TasksUpdate = "tasks/update",
    /// `tasks/cancel`, extension of the modern era, and in revision 2025-11-25.
    TasksCancel = "tasks/cancel",
    /// `tasks/list`, revision 2025-11-25.
    TasksList = "tasks/list",
    /// `tasks/result`, revision 2025-11-25.
    TasksResult = "tasks/result",
    /// `notifications/initialized`, legacy era.
    Initialized = "notifications/initialized",
    /// `notifications/cancelled`.
    Cancelled = "notifications/cancelled",
    /// `notifications/roots/list_changed`, legacy era.
    RootsListChanged = "notifications/roots/list_changed",
}

impl Method {
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
        Self::TasksList,
        Self::TasksResult,
    ];
    /// The request that a server may send to a client of the legacy era with roots.
    pub const ROOTS_LIST: &'static str = "roots/list";
    /// The request for a form that a person fills in.
    pub const ELICIT: &'static str = "elicitation/create";
    /// The request for a message that a model writes.
    pub const SAMPLE: &'static str = "sampling/createMessage";
    /// The request for how far a task of a client is.
    pub const CLIENT_TASK_STATUS: &'static str = "tasks/get";
    /// The request for what a task of a client came to.
    pub const CLIENT_TASK_RESULT: &'static str = "tasks/result";
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
    /// The notification that a task has another status, in revision 2025-11-25.
    pub const TASK_STATUS: &'static str = "notifications/tasks/status";
    /// The notification of progress.
    pub const PROGRESS: &'static str = "notifications/progress";
    /// The notification that carries a log message.
    pub const LOG_MESSAGE: &'static str = "notifications/message";

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
                | Self::TasksList
                | Self::TasksResult
        )
    }

    /// Whether the method exists in the handshake revisions.
    pub const fn is_legacy(self) -> bool {
        !matches!(self, Self::Discover | Self::Listen | Self::TasksUpdate)
    }
}

#[cfg(test)]
mod tests {
    use super::Method;
    use std::collections::HashSet;

    #[test]
    fn every_name_parses_to_itself() {
        for method in Method::ALL {
            assert_eq!(Method::parse(method.as_str()), Some(method));
        }
        assert_eq!(Method::parse("tools/Call"), None);
        let names: HashSet<_> = Method::ALL.iter().map(|method| method.as_str()).collect();
        assert_eq!(names.len(), Method::COUNT, "a method is listed twice, another one is missing");
    }
}
