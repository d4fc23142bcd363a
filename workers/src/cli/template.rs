//! `kabar template`: message forms that a provider approved.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kabar_domain::{
    job::DEFAULT_SENDER,
    template::{Parameter, Place, Template},
};
use kabar_store::{StatusChange, StoredTemplate};
use serde_json::{Value, json};

use super::{
    Common,
    ledger::Ledger,
    output::{self, Table, or_dash, plural, show, time},
};
use crate::{context::open_providers, templates, views};

/// Message forms that a provider approved
///
/// A template that is known is checked before anything is sent; one that is not goes to the provider as it is given,
/// unless the setting strict_templates is on.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kabar template add payment_reminder.json

payment_reminder.json, as the Cloud API gives it:
  {\"name\": \"payment_reminder\", \"language\": \"id\", \"category\": \"UTILITY\", \"status\": \"APPROVED\",
   \"components\": [{\"type\": \"BODY\", \"text\": \"Halo {{1}}, tagihan jatuh tempo {{2}}.\"}]}")]
pub(crate) struct TemplateArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add templates: the Cloud API's template object, or its list {"data": […]}
    #[command(after_help = "Example:\n  kabar template add payment_reminder.json")]
    Add {
        /// The file
        #[arg(value_name = "FILE.json")]
        file: PathBuf,
    },
    /// Take over the provider's list: what is new, what changed, and what is gone
    #[command(after_help = "Example:\n  kabar template sync --sender default")]
    Sync {
        /// The sender whose business account is asked; it needs an account id (`kabar sender set NAME --account-id ID`)
        #[arg(long, value_name = "NAME", default_value = DEFAULT_SENDER)]
        sender: String,
    },
    /// The templates that are known
    #[command(after_help = "Example:\n  kabar template list")]
    List,
    /// One template in all its languages
    #[command(after_help = "Example:\n  kabar template show payment_reminder")]
    Show {
        /// The template
        name: String,
    },
}

pub(crate) async fn run(arguments: TemplateArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let json = common.json;
    match arguments.command {
        Command::Add { file } => {
            let text = fs::read(&file).with_context(|| format!("file {}", file.display()))?;
            let templates = read(&text).with_context(|| format!("file {}", file.display()))?;
            add(&ledger, &templates, json).await
        }
        Command::Sync { sender } => sync(&ledger, &sender, json).await,
        Command::List => list(&ledger, json).await,
        Command::Show { name } => show_one(&ledger, &name, json).await,
    }
}

/// The templates of a file: one object, a list, or the API's answer.
fn read(text: &[u8]) -> anyhow::Result<Vec<Template>> {
    let value: Value = serde_json::from_slice(text).context("not JSON")?;
    let objects = match value {
        Value::Array(list) => list,
        Value::Object(mut object) => match object.remove("data") {
            Some(Value::Array(list)) => list,
            Some(_) => bail!("\"data\" must be a list of templates"),
            None => vec![Value::Object(object)],
        },
        _ => bail!("it must be a template object, or {{\"data\": […]}}"),
    };
    if objects.is_empty() {
        bail!("it holds no template");
    }
    let templates = objects.into_iter().enumerate();
    templates
        .map(|(index, object)| Template::parse(object).with_context(|| format!("template {}", index + 1)))
        .collect()
}

async fn add(ledger: &Ledger, templates: &[Template], json: bool) -> anyhow::Result<()> {
    for template in templates {
        ledger.store.put_template(ledger.tenant, template).await?;
    }
    let added: Vec<Value> =
        templates.iter().map(|one| json!({"name": one.name, "language": one.language, "status": one.status})).collect();
    show(json, &added, || {
        let lines = templates.iter().map(|one| {
            let hint = if one.is_sendable() { "" } else { "; nothing can be sent with it until it is approved" };
            format!("template {} ({}) added, {}{hint}", one.name, one.language, one.status)
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

async fn sync(ledger: &Ledger, sender: &str, json: bool) -> anyhow::Result<()> {
    let sender = ledger.store.sender(ledger.tenant, sender).await?;
    // Who asks for it wants it now, whatever is left of the account's calls.
    let synced = templates::sync(&ledger.store, &open_providers(&ledger.settings)?, &sender, None).await?;
    for problem in &synced.unreadable {
        output::note(format!("left out: {problem}"));
    }
    show(json, &synced, || {
        let found = &synced.templates;
        let line = |change: &StatusChange| {
            let StatusChange { name, language, from, to } = change;
            match from {
                None => format!("new      {name} ({language}), {to}"),
                Some(from) if from == to => format!("changed  {name} ({language}), {to} as before"),
                Some(from) => format!("changed  {name} ({language}), {from} before, now {to}"),
            }
        };
        let lines = found.added.iter().chain(&found.changed).chain(&found.gone).map(line);
        let total = format!("{} listed by the account {}", plural(found.listed as u64, "template"), synced.account);
        lines.chain([total]).collect::<Vec<_>>().join("\n")
    })
}

async fn list(ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let templates = ledger.store.templates(ledger.tenant).await?;
    show(json, &templates.iter().map(views::Template::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["NAME", "LANGUAGE", "CATEGORY", "STATUS", "PARAMETERS", "ACCOUNT", "CHANGED"]);
        for one in &templates {
            let template = &one.template;
            table.row([
                template.name.clone(),
                template.language.clone(),
                or_dash(Some(&template.category)),
                template.status.clone(),
                template.parameters().len().to_string(),
                or_dash(Some(&one.account)),
                time(one.updated_at),
            ]);
        }
        table.or(
            "no template yet: `kabar template sync` takes over the provider's, `kabar template add FILE.json` adds one",
        )
    })
}

async fn show_one(ledger: &Ledger, name: &str, json: bool) -> anyhow::Result<()> {
    let templates = ledger.store.template(ledger.tenant, name).await?;
    if json {
        return output::print_json(&templates.iter().map(views::Template::from).collect::<Vec<_>>());
    }
    let texts: Vec<String> = templates.iter().map(facts).collect();
    output::print(texts.join("\n\n"))
}

fn facts(stored: &StoredTemplate) -> String {
    let template = &stored.template;
    let mut table = Table::of_facts();
    table.fact("name", &template.name);
    table.fact("language", &template.language);
    table.fact("category", or_dash(Some(&template.category)));
    table.fact("status", &template.status);
    if let Some(reason) = template.rejected_reason.as_deref().filter(|reason| *reason != "NONE") {
        table.fact("rejected for", reason);
    }
    if stored.paused_until > 0 {
        table.fact("paused until", time(stored.paused_until));
    }
    for component in &template.components {
        let text = |key: &str| component.get(key).and_then(Value::as_str);
        let kind = text("type").unwrap_or("component").to_lowercase();
        let shown = text("text").or(text("format")).map_or_else(|| component.to_string(), str::to_owned);
        table.fact(&kind, shown);
    }
    for parameter in template.parameters() {
        table.fact(&label(&parameter), described(&parameter));
    }
    table.fact("account", or_dash(Some(&stored.account)));
    table.fact("changed", time(stored.updated_at));
    table.to_string()
}

fn label(parameter: &Parameter) -> String {
    match parameter.place {
        Place::Body => format!("param {}", parameter.name),
        Place::Header if parameter.kind == "text" => format!("header {}", parameter.name),
        Place::Header => "header".to_owned(),
        Place::Button => format!("button {}", parameter.name),
    }
}

fn described(parameter: &Parameter) -> String {
    let Parameter { kind, required, example, .. } = parameter;
    let optional = if *required { "" } else { ", may be left out" };
    let example = example.as_ref().map(|example| format!(", such as {example}")).unwrap_or_default();
    format!("{kind}{optional}{example}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_template_or_the_apis_list_is_read() {
        let one = r#"{"name": "a", "language": "id", "components": [{"type": "BODY", "text": "x"}]}"#;
        assert_eq!(read(one.as_bytes()).unwrap().len(), 1);
        assert_eq!(read(format!(r#"{{"data": [{one}, {one}], "paging": {{}}}}"#).as_bytes()).unwrap().len(), 2);
        let bad = format!(r#"{{"data": [{one}, {{"name": "B", "language": "id"}}]}}"#);
        let error = super::super::one_line(&read(bad.as_bytes()).unwrap_err());
        assert!(error.starts_with("template 2: template name \"B\""), "{error}");
        for nothing in ["", "[]", "7", r#"{"data": 7}"#] {
            assert!(read(nothing.as_bytes()).is_err(), "{nothing}");
        }
    }
}
