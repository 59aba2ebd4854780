//! What `tools/list` says of the fixtures.

use mcpool::ToolDefinition;

const JSON_SCHEMA: &str = r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","$defs":{"address":{"$anchor":"addressDef","type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"}}}},"properties":{"name":{"type":"string"},"address":{"$ref":"#/$defs/address"},"contactMethod":{"type":"string","enum":["phone","email"]},"phone":{"type":"string"},"email":{"type":"string"}},"allOf":[{"anyOf":[{"required":["phone"]},{"required":["email"]}]}],"if":{"properties":{"contactMethod":{"const":"phone"}},"required":["contactMethod"]},"then":{"required":["phone"]},"else":{"required":["email"]},"additionalProperties":false}"##;

/// Name, description and input schema; an empty one means no arguments.
const TOOLS: [(&str, &str, &str); 36] = [
    ("test_simple_text", "Answers with a text.", ""),
    ("test_image_content", "Answers with an image.", ""),
    ("test_audio_content", "Answers with a sound.", ""),
    ("test_embedded_resource", "Answers with a resource.", ""),
    ("test_multiple_content_types", "Answers with text, image and resource.", ""),
    ("test_error_handling", "Fails.", ""),
    ("test_tool_with_progress", "Reports progress.", ""),
    ("test_tool_with_logging", "Logs.", ""),
    ("test_sampling", "Asks the model.", r#"{"type":"object","properties":{"prompt":{"type":"string"}}}"#),
    ("test_elicitation", "Asks the user.", r#"{"type":"object","properties":{"message":{"type":"string"}}}"#),
    ("test_elicitation_sep1034_defaults", "Asks with defaults.", ""),
    ("test_elicitation_sep1330_enums", "Asks for choices.", ""),
    ("test_reconnection", "Ends its stream before its answer.", ""),
    ("json_schema_2020_12_tool", "Has a schema with everything.", JSON_SCHEMA),
    ("test_missing_capability", "Needs sampling.", ""),
    ("test_streaming_elicitation", "Sends no requests.", ""),
    ("test_logging_tool", "Logs for those who ask.", ""),
    ("test_trigger_tool_change", "Tells that the tools changed.", ""),
    ("test_trigger_prompt_change", "Tells that the prompts changed.", ""),
    ("test_trigger_resource_update", "Tells that the watched resource changed.", ""),
    ("test_input_required_result_elicitation", "Asks for a name.", ""),
    ("test_input_required_result_sampling", "Asks the model first.", ""),
    ("test_input_required_result_list_roots", "Asks for roots first.", ""),
    ("test_input_required_result_request_state", "Hands out a state.", ""),
    ("test_input_required_result_multiple_inputs", "Asks for three things.", ""),
    ("test_input_required_result_multi_round", "Asks twice.", ""),
    ("test_input_required_result_tampered_state", "Guards its state.", ""),
    ("test_input_required_result_capabilities", "Asks for what the client can do.", ""),
    (
        "test_custom_header",
        "Says back a value.",
        r#"{"type":"object","properties":{"value":{"type":"string","x-mcp-header":"Value"}}}"#,
    ),
    ("greet", "Greets at once.", r#"{"type":"object","properties":{"name":{"type":"string"}}}"#),
    (
        "slow_compute",
        "Takes its time.",
        r#"{"type":"object","properties":{"seconds":{"type":"number"},"label":{"type":"string"}}}"#,
    ),
    ("failing_job", "Fails as a task.", ""),
    ("protocol_error_job", "Breaks as a task.", ""),
    ("confirm_delete", "Asks as a task.", r#"{"type":"object","properties":{"filename":{"type":"string"}}}"#),
    ("multi_input", "Asks twice as a task.", ""),
    ("test_tool_with_task", "Asks, then goes on as a task.", ""),
];

pub(crate) fn definitions() -> Vec<ToolDefinition> {
    TOOLS
        .iter()
        .map(|(name, description, schema)| {
            let definition = ToolDefinition::new(*name, *description);
            if schema.is_empty() { definition } else { definition.input_schema(schema) }
        })
        .collect()
}
