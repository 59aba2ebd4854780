//! What the reference server answered, call by call, and what its file held then.

use super::Scene;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Row {
    name: String,
    /// The file before; none where it was not there.
    file: Option<String>,
    steps: Vec<Step>,
    after: Option<After>,
}

#[derive(Deserialize)]
struct Step {
    tool: String,
    arguments: Value,
    answer: Value,
}

/// The lines of the file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct After {
    entities: Vec<String>,
    relations: Vec<String>,
    others: Vec<String>,
}

/// Rows that differ on purpose: `tests/interop/drop_in/memory_allowed.json` says why.
fn differs(name: &str) -> bool {
    let on_purpose = [
        "(arguments)",
        "other types and members",
        "a line that is broken",
        "an entity without a type",
        "names in escapes",
        "halves of pairs",
        "half of a pair",
    ];
    on_purpose.iter().any(|part| name.contains(part))
}

#[tokio::test]
async fn answers_are_those_of_the_reference() {
    let recorded = include_str!("../fixtures/reference/memory/calls.json");
    let rows: Vec<Row> = serde_json::from_str(recorded).expect("rows");
    assert!(rows.len() > 150, "{}", rows.len());
    let mut scene = Scene::new().await;
    for row in rows.iter().filter(|row| !differs(&row.name)) {
        match &row.file {
            Some(content) => scene.write(content),
            None => drop(std::fs::remove_file(scene.file())),
        }
        for (at, step) in row.steps.iter().enumerate() {
            let answer = scene.call(&step.tool, step.arguments.clone()).await;
            assert_eq!(answer, step.answer["result"], "{}, step {at}", row.name);
        }
        assert_eq!(after(&scene), row.after, "{}", row.name);
    }
}

/// Lines of a file that nobody changed may stand as they were.
fn after(scene: &Scene) -> Option<After> {
    let content = std::fs::read_to_string(scene.file()).ok()?;
    let mut after = After::default();
    for line in content.split('\n').filter(|line| !line.trim().is_empty()) {
        let list = if line.starts_with(r#"{"type":"entity""#) {
            &mut after.entities
        } else if line.starts_with(r#"{"type":"relation""#) {
            &mut after.relations
        } else {
            &mut after.others
        };
        list.push(line.to_owned());
    }
    Some(after)
}

#[tokio::test]
async fn arguments_that_do_not_fit_change_nothing() {
    let recorded = include_str!("../fixtures/reference/memory/calls.json");
    let rows: Vec<Row> = serde_json::from_str(recorded).expect("rows");
    let mut scene = Scene::new().await;
    let mut refused = 0;
    for row in rows.iter().filter(|row| row.name.ends_with("(arguments)") && !row.name.starts_with("no_such"))
    {
        let before = row.file.clone().expect("a file");
        scene.write(&before);
        let answer = scene.call(&row.steps[0].tool, row.steps[0].arguments.clone()).await;
        if answer["isError"] == true {
            let text = answer["content"][0]["text"].as_str().expect("a text");
            assert!(text.starts_with("MCP error -32602: Input validation error: "), "{}: {text}", row.name);
            assert_eq!(scene.content(), before, "{}", row.name);
            refused += 1;
        } else {
            // A list or a string that was given as the other has one meaning.
            assert!(
                row.steps[0].answer["result"]["isError"] != true
                    || row.name.contains("names")
                    || row.name.contains("query"),
                "{}: {answer}",
                row.name
            );
        }
    }
    assert!(refused >= 10, "{refused}");
}
