//! The command line. One file per command; what several share lies in files of its own: `ledger` (settings and store),
//! `output`, `survey`, `content` (templates and their values), `enqueue`, `progress`.
//!
//! **To add a command:** its file, a variant of `Command` in the order in which `kabar --help` shows them, its arm in
//! [`run`]. Commands work on the ledger directly, also beside a running fleet.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use kabar_settings::TENANT_VARIABLE;

mod audit;
mod broadcast;
mod config;
mod content;
mod dead;
pub mod demo;
mod doctor;
mod enqueue;
mod errors;
mod group;
mod key;
mod ledger;
mod message;
mod migrate;
mod output;
mod page;
mod progress;
mod recipient;
mod remind;
mod reminder;
mod run;
pub mod sandbox;
mod schedule;
mod schema;
mod send;
mod sender;
mod status;
mod survey;
mod template;
mod tenant;

pub use crate::people_file::survey_file;
pub use errors::{is_closed_pipe, one_line};
pub(crate) use schema::{JOB_COMPONENT, job_components};

/// What `kabar` was told on its command line.
#[derive(Debug, Parser)]
#[command(
    name = "kabar",
    version,
    about = "Sends WhatsApp messages exactly as fast as the sender's limit allows, and loses nothing",
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 120,
    after_help = "First steps:
  kabar demo
  kabar sender add shop --provider whatsapp_cloud --phone-number-id 106540352242922 \\
    --access-token-file token.txt
  kabar send --sender shop --to +628123456789 --template hello_world --language en_US
  kabar run

Exit status: 0 done; 1 failed, with one line on standard error; 2 wrong usage."
)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Configuration file [env: KABAR_CONFIG] [default: kabar.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Options of every command")]
    pub(crate) config: Option<PathBuf>,
    /// Whose things: what a tenant owns, no other sees [env: KABAR_TENANT] [default: default]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Options of every command")]
    pub(crate) tenant: Option<String>,
    /// Print JSON instead of text
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything in one process against a simulator, to see it work
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
    Migrate(migrate::MigrateArgs),
    /// The simulator of WhatsApp's Cloud API alone
    Sandbox(sandbox::SandboxArgs),
    Tenant(tenant::TenantArgs),
    Sender(sender::SenderArgs),
    Recipient(recipient::RecipientArgs),
    Group(group::GroupArgs),
    Template(template::TemplateArgs),
    Send(send::SendArgs),
    Broadcast(broadcast::BroadcastArgs),
    Remind(remind::RemindArgs),
    Reminder(reminder::ReminderArgs),
    Schedule(schedule::ScheduleArgs),
    Message(message::MessageArgs),
    Dead(dead::DeadArgs),
    Key(key::KeyArgs),
    Audit(audit::AuditArgs),
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    Schema(schema::SchemaArgs),
    Config(config::ConfigArgs),
}

impl Command {
    /// Whether it works on what one tenant owns.
    const fn is_of_one_tenant(&self) -> bool {
        match self {
            Self::Demo(_)
            | Self::Run(_)
            | Self::Migrate(_)
            | Self::Sandbox(_)
            | Self::Tenant(_)
            | Self::Doctor(_)
            | Self::Schema(_)
            | Self::Config(_) => false,
            Self::Sender(_)
            | Self::Recipient(_)
            | Self::Group(_)
            | Self::Template(_)
            | Self::Send(_)
            | Self::Broadcast(_)
            | Self::Remind(_)
            | Self::Reminder(_)
            | Self::Schedule(_)
            | Self::Message(_)
            | Self::Dead(_)
            | Self::Key(_)
            | Self::Audit(_)
            | Self::Status(_) => true,
        }
    }
}

impl Arguments {
    /// The arguments of this process; wrong ones end it with an explanation.
    #[must_use]
    pub fn of_process() -> Self {
        let variable = std::env::var(TENANT_VARIABLE).ok();
        Self::parse().with_tenant(variable).unwrap_or_else(|error| error.exit())
    }

    /// Adds the tenant of the environment, which a command for all tenants does not heed; an option it refuses.
    fn with_tenant(mut self, variable: Option<String>) -> Result<Self, clap::Error> {
        if self.command.is_of_one_tenant() {
            self.common.tenant = self.common.tenant.or(variable).filter(|name| !name.is_empty());
        } else if self.common.tenant.is_some() {
            let told = "--tenant: this command is for all tenants alike; leave it out";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, told));
        }
        Ok(self)
    }

    /// Whether the command does enough at once to need more than one thread.
    #[must_use]
    pub const fn needs_threads(&self) -> bool {
        matches!(self.command, Command::Demo(_) | Command::Run(_) | Command::Sandbox(_))
    }
}

/// Carries out what the command line says.
///
/// # Errors
/// What went wrong and what to do about it; see [`one_line`].
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let common = arguments.common;
    match arguments.command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Run(arguments) => run::run(arguments, &common).await,
        Command::Migrate(arguments) => migrate::run(arguments, &common).await,
        Command::Sandbox(arguments) => sandbox::run(arguments).await,
        Command::Tenant(arguments) => tenant::run(arguments, &common).await,
        Command::Sender(arguments) => sender::run(arguments, &common).await,
        Command::Recipient(arguments) => recipient::run(arguments, &common).await,
        Command::Group(arguments) => group::run(arguments, &common).await,
        Command::Template(arguments) => template::run(arguments, &common).await,
        Command::Send(arguments) => send::run(arguments, &common).await,
        Command::Broadcast(arguments) => broadcast::run(arguments, &common).await,
        Command::Remind(arguments) => remind::run(arguments, &common).await,
        Command::Reminder(arguments) => reminder::run(arguments, &common).await,
        Command::Schedule(arguments) => schedule::run(arguments, &common).await,
        Command::Message(arguments) => message::run(arguments, &common).await,
        Command::Dead(arguments) => dead::run(arguments, &common).await,
        Command::Key(arguments) => key::run(arguments, &common).await,
        Command::Audit(arguments) => audit::run(&arguments, &common).await,
        Command::Status(arguments) => status::run(arguments, &common).await,
        Command::Doctor(arguments) => doctor::run(arguments, &common).await,
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Config(arguments) => config::run(&arguments, &common),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_an_example() {
        let mut command = Arguments::command();
        command.build();
        command.clone().debug_assert();
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says nothing of itself");
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains(&format!("kabar {name}")), "{name} has no example");
        }
    }

    #[test]
    fn a_tenant_is_for_commands_that_work_on_what_one_owns() {
        let of = |line: &str, variable: Option<&str>| {
            let parsed = Arguments::try_parse_from(line.split(' ')).unwrap();
            parsed.with_tenant(variable.map(str::to_owned)).map(|arguments| arguments.common.tenant)
        };
        assert_eq!(of("kabar status", None).unwrap(), None);
        assert_eq!(of("kabar status", Some("")).unwrap(), None);
        assert_eq!(of("kabar status", Some("acme")).unwrap().as_deref(), Some("acme"));
        assert_eq!(of("kabar status --tenant shop", Some("acme")).unwrap().as_deref(), Some("shop"));
        assert_eq!(of("kabar run", Some("acme")).unwrap(), None, "a fleet works for all");
        assert_eq!(of("kabar --tenant acme run", None).unwrap_err().exit_code(), 2);
    }
}
