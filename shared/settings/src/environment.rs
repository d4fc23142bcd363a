//! The variables of the environment.

use std::collections::BTreeMap;

use crate::{
    nearest::nearest,
    problem::{Origin, Problem},
    table::{Row, TABLE},
    typed::AsTyped,
};

/// Names the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "KABAR_CONFIG";

/// Names the tenant of commands; it is theirs to read, since settings hold for all tenants.
pub const TENANT_VARIABLE: &str = "KABAR_TENANT";

/// What the names of kabar's own variables begin with.
const PREFIX: &str = "KABAR_";

/// Prefixes kept for faults that tests inject and for tests themselves.
const RESERVED: [&str; 2] = ["KABAR_FAULT_", "KABAR_TEST_"];

/// Takes over what `environment` says, and notes variables that look like kabar's but are not.
pub(crate) fn read(environment: &BTreeMap<String, String>, typed: &mut AsTyped) {
    for row in TABLE {
        let given: Vec<_> =
            row.variables().filter_map(|name| environment.get(&name).map(|text| (name, text.as_str()))).collect();
        if let [(first, one), (second, other)] = given.as_slice()
            && one.trim() != other.trim()
        {
            typed.problems.push(two_names(row, first, second));
        }
        if let Some((name, text)) = given.into_iter().next() {
            typed.set(row, text, Origin::Variable(name));
        }
    }
    let known: Vec<_> =
        TABLE.iter().flat_map(Row::variables).chain([CONFIG_VARIABLE, TENANT_VARIABLE].map(str::to_owned)).collect();
    for (name, text) in environment {
        let ours = name.starts_with(PREFIX) && !RESERVED.iter().any(|prefix| name.starts_with(prefix));
        if ours && !known.contains(name) && !is_service_link(name, text) {
            typed.problems.push(Problem::UnknownVariable { name: name.clone(), nearest: nearest(name, &known) });
        }
    }
}

fn two_names(row: &Row, first: &str, second: &str) -> Problem {
    let rule = format!("both set {}, to different values; set one of them", row.key);
    Problem::Contradiction { settings: format!("{first}, {second}"), rule }
}

/// Whether Kubernetes set the variable: beside a service named `kabar` or `kabar-…` it sets `KABAR_SERVICE_HOST`,
/// `KABAR_SERVICE_PORT…`, `KABAR_PORT=tcp://…` and `KABAR_PORT_8080_TCP…` in every pod of the namespace.
fn is_service_link(name: &str, text: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme));
    let is_port_of = |protocol: &str| {
        name.split_once("_PORT_").is_some_and(|(_, port)| {
            port.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(&format!("_{protocol}"))
        })
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_url)
        || ["TCP", "UDP", "SCTP"].into_iter().any(is_port_of)
}
