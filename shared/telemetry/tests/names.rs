//! Nothing is told under a name that the table does not have: all sources of the workspace are looked through for metrics,
//! spans and attributes named by a literal instead of a constant of the table, and for names that nothing uses.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kabar_telemetry::names::{attribute, happening, span};

const METRICS: [&str; 6] =
    ["counter!", "gauge!", "histogram!", "describe_counter!", "describe_gauge!", "describe_histogram!"];

/// What takes the names of spans, of their attributes and of what happens meanwhile.
const SPANS: [&str; 8] =
    ["Span::new", ".attribute", ".event", "trace_span!", "debug_span!", "info_span!", "warn_span!", "error_span!"];

/// The lines of `source`, from 1, in which something is named by a literal.
fn literal_names(source: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    for name in METRICS.into_iter().chain(SPANS) {
        for (at, _) in source.match_indices(name) {
            let is_whole_name =
                name.starts_with('.') || !source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let after = source[at + name.len()..].trim_start();
            let Some(arguments) = after.strip_prefix(['(', '[', '{']).map(str::trim_start) else { continue };
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

/// Every source of these folders but this one, with its path.
fn read_all(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    folders.iter().for_each(|folder| sources(&workspace.join(folder), &mut found));
    assert!(found.len() > 5, "the sources were not found from {}", workspace.display());
    found.retain(|path| !path.ends_with("telemetry/tests/names.rs"));
    // A file may go between the listing and the reading, when somebody works in the tree.
    found.into_iter().filter_map(|path| fs::read_to_string(&path).ok().map(|source| (path, source))).collect()
}

#[test]
fn things_are_named_by_the_table_alone() {
    let mut wrong = Vec::new();
    for (path, source) in read_all(&["shared", "workers", "tests"]) {
        wrong.extend(literal_names(&source).iter().map(|line| format!("{}:{line}", path.display())));
    }
    assert!(wrong.is_empty(), "name these by constants of kabar_telemetry::names:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_span_and_no_attribute_that_nothing_tells() {
    let told: String =
        read_all(&["shared/telemetry/src", "workers/src"]).into_iter().map(|(_, source)| source).collect();
    let table = include_str!("../src/names.rs");
    for (module, names) in
        [("span", span::SPANS), ("happening", happening::HAPPENINGS), ("attribute", attribute::ATTRIBUTES)]
    {
        for name in names {
            let line = table.lines().find(|line| line.contains(&format!(" = \"{name}\";"))).unwrap();
            let constant = line.trim_start().split(' ').next().unwrap();
            assert!(told.contains(&format!("{module}::{constant}")), "nothing tells of {name}");
        }
    }
}

#[test]
fn literals_are_found_and_constants_let_through() {
    assert_eq!(literal_names("fn f() {\n    metrics::counter!(\"kabar_x_total\").increment(1);\n}"), [2]);
    assert_eq!(literal_names("histogram![\n  r\"x\"]"), [1]);
    assert_eq!(literal_names("gauge!( format!(\"{x}\") )"), [1]);
    assert_eq!(literal_names("Span::new(\"x\", place)\n  .attribute(\"y\", 1)\n  .event(happening::X, now)"), [1, 2]);
    assert!(literal_names("counter!(names::ATTEMPTS, field::PROVIDER => \"x\"); my_counter!(\"x\")").is_empty());
}
