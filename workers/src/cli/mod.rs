//! The command line. One file per command; what several share lies in files of its own: `ledger` (settings and store),
//! `output`, `survey`, `content` (templates and their values), `enqueue`, `progress`.
//!
//! **To add a command:** its file, a variant of `Command` in the order in which `kabar --help` shows them, its arm in
//! [`run`]. Commands work on the ledger directly, also beside a running fleet.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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

impl Arguments {
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
    use clap::CommandFactory as _;

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
}
