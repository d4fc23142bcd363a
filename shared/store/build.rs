//! Builds again when a migration comes or changes: the files are part of the program.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
