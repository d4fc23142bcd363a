//! No metric is reported under a name that the table does not have: all sources of the workspace are looked through for
//! metrics named by a literal instead of a constant of the table.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MACROS: [&str; 6] =
    ["counter!", "gauge!", "histogram!", "describe_counter!", "describe_gauge!", "describe_histogram!"];

/// The lines of `source`, from 1, in which a metric is named by a literal.
fn literal_names(source: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    for name in MACROS {
        for (at, _) in source.match_indices(name) {
            let is_whole_name = !source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let arguments = source[at + name.len()..].trim_start().trim_start_matches(['(', '[', '{']).trim_start();
            let is_literal = ["\"", "r\"", "r#", "format!", "concat!"].iter().any(|start| arguments.starts_with(start));
            if is_whole_name && is_literal {
                lines.push(source[..at].lines().count().max(1));
            }
        }
    }
    lines
}

/// All Rust sources under `folder`, but not those that builds made.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn metrics_are_named_by_the_table_alone() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let this_test = Path::new(file!()).file_name().unwrap();
    let mut found = Vec::new();
    for folder in ["shared", "workers", "tests"] {
        sources(&workspace.join(folder), &mut found);
    }
    assert!(found.len() > 5, "the sources were not found from {}", workspace.display());

    let mut wrong = Vec::new();
    for path in found.iter().filter(|path| !path.ends_with(Path::new("telemetry/tests").join(this_test))) {
        // A file may go between the listing and the reading, when somebody works in the tree.
        let Ok(source) = fs::read_to_string(path) else { continue };
        wrong.extend(literal_names(&source).iter().map(|line| format!("{}:{line}", path.display())));
    }
    assert!(wrong.is_empty(), "name these metrics by constants of kabar_telemetry::names:\n{}", wrong.join("\n"));
}

#[test]
fn literals_are_found_and_constants_let_through() {
    assert_eq!(literal_names("fn f() {\n    metrics::counter!(\"kabar_x_total\").increment(1);\n}"), [2]);
    assert_eq!(literal_names("histogram![\n  r\"x\"]"), [1]);
    assert_eq!(literal_names("gauge!( format!(\"{x}\") )"), [1]);
    assert!(literal_names("counter!(names::ATTEMPTS, field::PROVIDER => \"x\"); my_counter!(\"x\")").is_empty());
}
