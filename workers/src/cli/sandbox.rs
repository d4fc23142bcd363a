//! `kabar sandbox`: the Cloud API simulator alone, for trying out a system by hand and in its own tests.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, bail};
use kabar_domain::pace::Rate;
use kabar_sandbox::{Behaviour, Counters, Faults, Sandbox, SandboxConfig, TEST_NUMBERS, WebhookTarget};

use super::demo::stop::stopped;

/// The id that the ready-made environment names where none is configured; without one the sandbox takes any.
const SHOWN_PHONE_NUMBER_ID: &str = "100000000000100";

/// The token that the ready-made environment names where none is configured; without one the sandbox takes any.
const SHOWN_TOKEN: &str = "sandbox";

/// How long webhooks that are still due may take at the end.
const LAST_WEBHOOKS: Duration = Duration::from_secs(2);

/// What `kabar sandbox` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Shares go from 0 to 1; durations are typed as 150ms, 2s or 1m30s.

Examples:
  kabar sandbox --rate 20 --latency 150ms --throttle-every 200 --throttle-burst 5
  kabar sandbox --webhook-url http://127.0.0.1:8080/webhooks/whatsapp --app-secret-file secret.txt --webhook-duplicates 0.1
  kabar sandbox --fail 628123456789=131049 --drop-after-accept 0.01")]
pub struct SandboxArgs {
    /// Where to listen; port 0 takes any free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// An access token that is accepted, again for more; without one any token is
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// A phone-number id that exists, again for more; without one any id does
    #[arg(long, value_name = "ID")]
    phone_number_id: Vec<String>,
    /// Each number's throughput: messages per second, or "unlimited"; more is answered with 130429
    #[arg(long, value_name = "N", default_value = "unlimited")]
    rate: Rate,
    /// Limit messages to one recipient as the platform does: one in 6 s, bursts to 45 (131056)
    #[arg(long)]
    pair_limit: bool,
    /// Seed of all that is left to chance
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    webhook: Box<WebhookArgs>,
    #[command(flatten)]
    faults: Box<FaultArgs>,
}

/// Where webhooks go, and how.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Webhooks")]
struct WebhookArgs {
    /// Where signed webhooks are posted; without it, nowhere
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// The secret that signs webhooks; better from the environment or a file, for a command line can be seen by others
    #[arg(
        long,
        value_name = "SECRET",
        env = "WHATSAPP_APP_SECRET",
        hide_env_values = true,
        conflicts_with = "app_secret_file"
    )]
    app_secret: Option<String>,
    /// A file with the secret that signs webhooks
    #[arg(long, value_name = "FILE")]
    app_secret_file: Option<PathBuf>,
    /// Time between one status of a message and the next
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    webhook_delay: Length,
    /// Share of delivered messages that are also read
    #[arg(long, value_name = "SHARE", default_value_t = 0.6)]
    read_share: f64,
    /// Share of status updates that are never posted
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    webhook_loss: f64,
    /// Share of status updates that are posted twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    webhook_duplicates: f64,
    /// Post the statuses of a message in any order
    #[arg(long)]
    webhook_shuffle: bool,
}

/// What goes wrong on purpose.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Faults")]
struct FaultArgs {
    /// Time before each answer; the message is accepted before it
    #[arg(long, value_name = "TIME", default_value = "0ms")]
    latency: Length,
    /// Up to this much more, drawn evenly
    #[arg(long, value_name = "TIME", default_value = "0ms")]
    latency_jitter: Length,
    /// Share of sends answered with a 5xx error of the platform; nothing is accepted
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    server_errors: f64,
    /// Share of sends that are accepted and hung up on without an answer
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    drop_after_accept: f64,
    /// Share of sends that are hung up on without an answer; nothing is accepted
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    drop_before_accept: f64,
    /// Share of sends answered with 502 and a proxy's HTML page; nothing is accepted
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    html: f64,
    /// Share of sends that are accepted and whose answer breaks off in the middle
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    half_answers: f64,
    /// Every N-th send starts a burst of throttling
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    throttle_every: Option<u32>,
    /// How many sends a burst refuses
    #[arg(long, value_name = "N", default_value_t = 1, requires = "throttle_every", value_parser = clap::value_parser!(u32).range(1..))]
    throttle_burst: u32,
    /// The code that a burst answers with; 429 means a bare HTTP 429 without a body
    #[arg(long, value_name = "CODE", default_value_t = 130_429, requires = "throttle_every")]
    throttle_code: i64,
    /// Calls that the application may make in any hour; answers tell how many it has made, and more is answered with 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    app_calls: Option<u32>,
    /// The same for the business account, with 80007
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    account_calls: Option<u32>,
    /// Retry-After on every throttle, in whole seconds
    #[arg(long, value_name = "TIME")]
    retry_after: Option<Length>,
    /// After so many sends every call answers 190, as for an expired token
    #[arg(long, value_name = "N")]
    token_expires_after: Option<u64>,
    /// Refuse sends to a recipient with a code, again for more
    #[arg(long, value_name = "PHONE=CODE")]
    fail: Vec<FailCode>,
    /// Answer every call with 503
    #[arg(long)]
    down: bool,
}

/// A duration as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Length(Duration);

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
        let problem = || format!("{text:?} is not a duration: type it as 150ms, 2s or 1m30s");
        let (mut rest, mut total_ms, mut units) = (text, 0_u64, UNITS.iter());
        while !rest.is_empty() {
            let (number, after) = rest.split_at(rest.find(|sign: char| !sign.is_ascii_digit()).ok_or_else(problem)?);
            let (unit, after) = after.split_at(after.find(|sign: char| sign.is_ascii_digit()).unwrap_or(after.len()));
            let (_, unit_ms) = units.find(|(name, _)| *name == unit).ok_or_else(problem)?;
            let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_ms));
            total_ms = part.and_then(|part| total_ms.checked_add(part)).ok_or_else(problem)?;
            rest = after;
        }
        if text.is_empty() { Err(problem()) } else { Ok(Self(Duration::from_millis(total_ms))) }
    }
}

/// A recipient whose sends are refused, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FailCode {
    digits: String,
    code: i64,
}

impl FromStr for FailCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is not PHONE=CODE, such as 628123456789=131049");
        let (phone, code) = text.split_once('=').ok_or_else(problem)?;
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        let code = code.trim().parse().map_err(|_| problem())?;
        if (5..=15).contains(&digits.len()) { Ok(Self { digits, code }) } else { Err(problem()) }
    }
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// When a setting could never work, the secret's file cannot be read, or the address cannot be had.
pub async fn run(arguments: SandboxArgs) -> anyhow::Result<()> {
    let config = config(arguments)?;
    let phone_number_id = config.phone_number_ids.first().cloned();
    let token = config.access_tokens.first().cloned();
    let webhook = config.webhook.as_ref().map(|webhook| webhook.url.clone());
    let sandbox = Sandbox::start(config).await?;
    say(&greeting(&sandbox.base_url(), phone_number_id.as_deref(), token.as_deref(), webhook.as_deref()));
    stopped().await;
    if tokio::time::timeout(LAST_WEBHOOKS, sandbox.webhooks_idle()).await.is_err() {
        say("\nSome webhooks were still due and are given up.");
    }
    say(&farewell(sandbox.counters(), sandbox.worst_window()));
    sandbox.shutdown().await;
    Ok(())
}

fn config(arguments: SandboxArgs) -> anyhow::Result<SandboxConfig> {
    let SandboxArgs { listen, token, phone_number_id, rate, pair_limit, seed, webhook, faults } = arguments;
    let faults = Faults {
        latency: faults.latency.0,
        latency_jitter: faults.latency_jitter.0,
        server_error_share: faults.server_errors,
        drop_after_accept_share: faults.drop_after_accept,
        drop_before_accept_share: faults.drop_before_accept,
        html_share: faults.html,
        half_answer_share: faults.half_answers,
        throttle_every: faults.throttle_every,
        throttle_burst: faults.throttle_burst,
        throttle_code: faults.throttle_code,
        app_calls_per_hour: faults.app_calls,
        account_calls_per_hour: faults.account_calls,
        retry_after: faults.retry_after.map(|length| length.0),
        token_expires_after: faults.token_expires_after,
        webhook_loss_share: webhook.webhook_loss,
        webhook_duplicate_share: webhook.webhook_duplicates,
        webhook_shuffle: webhook.webhook_shuffle,
        fail_codes: faults.fail.into_iter().map(|fail| (fail.digits, fail.code)).collect::<BTreeMap<_, _>>(),
        down: faults.down,
    };
    Ok(SandboxConfig {
        listen,
        access_tokens: token,
        phone_number_ids: phone_number_id,
        rate_per_second: rate.limit(),
        pair_limit,
        webhook: target(*webhook)?,
        faults,
        seed,
        ..SandboxConfig::default()
    })
}

fn target(webhook: WebhookArgs) -> anyhow::Result<Option<WebhookTarget>> {
    let Some(url) = webhook.webhook_url else { return Ok(None) };
    let app_secret = match webhook.app_secret_file {
        Some(path) => {
            let text = std::fs::read_to_string(&path);
            text.with_context(|| format!("--app-secret-file {}", path.display()))?.trim().to_owned()
        }
        None => webhook.app_secret.unwrap_or_default(),
    };
    if app_secret.is_empty() {
        bail!("--webhook-url needs a secret to sign with: set WHATSAPP_APP_SECRET, or give --app-secret-file FILE");
    }
    Ok(Some(WebhookTarget { url, app_secret, delay: webhook.webhook_delay.0, read_share: webhook.read_share }))
}

fn greeting(base: &str, phone_number_id: Option<&str>, token: Option<&str>, webhook: Option<&str>) -> String {
    let phone_number_id = phone_number_id.unwrap_or(SHOWN_PHONE_NUMBER_ID);
    let token = token.unwrap_or(SHOWN_TOKEN);
    let webhook =
        webhook.map_or("Webhooks go nowhere (see --webhook-url).".to_owned(), |url| format!("Webhooks go to {url}."));
    let mut text = format!(
        "The sandbox listens on {base}. {webhook} Ctrl-C ends it.\n\n\
         Point a client at it:\n\n  \
         export WHATSAPP_API_BASE={base}\n  \
         export WHATSAPP_PHONE_NUMBER_ID={phone_number_id}\n  \
         export WHATSAPP_ACCESS_TOKEN={token}\n\n\
         Recipients that always behave the same; every other one is accepted:\n\n"
    );
    for number in TEST_NUMBERS {
        let behaviour = match number.behaviour {
            Behaviour::Accepted => "accepted, then sent, delivered and perhaps read".to_owned(),
            Behaviour::FailsLater(code) => format!("accepted, then failed with {code}"),
            Behaviour::Refused(code) => format!("refused with {code}"),
        };
        text.push_str(&format!("  +{:<13} {behaviour}\n", number.digits));
    }
    text.push_str(&format!(
        "\nWhile it runs: {base}/sandbox/arrivals, /sandbox/counters, /sandbox/faults (GET and PUT)."
    ));
    text
}

fn farewell(counters: Counters, worst: usize) -> String {
    let Counters { received, accepted, throttled, failed, dropped, .. } = counters;
    let mut text = format!(
        "\nSends: {received} received, {accepted} accepted, {throttled} throttled, {failed} refused, {dropped} hung up on; \
         {worst} in the busiest second.\n\
         Webhooks: {} posted with {} updates, {} failed posts, {} updates lost on purpose, {} given up.",
        counters.webhooks_posted,
        counters.webhook_updates_posted,
        counters.webhook_posts_failed,
        counters.webhook_updates_lost,
        counters.webhook_updates_abandoned,
    );
    if counters.dropped_after_accept > 0 {
        text.push_str(&format!("\nOf those hung up on, {} had been accepted.", counters.dropped_after_accept));
    }
    text
}

/// Writes to standard output; a reader that is gone needs no news.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: SandboxArgs,
    }

    fn parsed(line: &str) -> Result<SandboxConfig, String> {
        let command = Command::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        config(command.arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_become_settings() {
        let config = parsed(
            "sandbox --rate 20 --latency 1m30s --throttle-every 9 --throttle-burst 2 --retry-after 2s --fail +62=7 \
             --fail +62-8123456=131049 --webhook-url http://127.0.0.1:1/x --app-secret s --webhook-delay 5ms",
        );
        assert!(config.unwrap_err().contains("+62=7"));
        let config = parsed(
            "sandbox --rate 20 --latency 1m30s --throttle-every 9 --throttle-burst 2 --retry-after 2s \
             --fail +62-8123456=131049 --webhook-url http://127.0.0.1:1/x --app-secret s --webhook-delay 5ms",
        )
        .unwrap();
        assert_eq!(config.rate_per_second, Some(20));
        assert_eq!(config.faults.latency, Duration::from_secs(90));
        assert_eq!(config.faults.fail_codes, BTreeMap::from([("628123456".to_owned(), 131_049)]));
        assert_eq!(config.webhook.unwrap().delay, Duration::from_millis(5));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(parsed("sandbox --latency 5").unwrap_err().contains("150ms"));
        assert!(parsed("sandbox --throttle-burst 5").unwrap_err().contains("--throttle-every"));
        assert!(parsed("sandbox --webhook-url http://127.0.0.1:1/x --app-secret-file /nowhere").is_err());
    }

    #[test]
    fn the_greeting_can_be_copied() {
        let text = greeting("http://127.0.0.1:8090", None, Some("t"), None);
        for line in ["export WHATSAPP_API_BASE=http://127.0.0.1:8090", "export WHATSAPP_ACCESS_TOKEN=t"] {
            assert!(text.lines().any(|shown| shown.trim() == line), "{text}");
        }
        assert!(text.contains("+15550102") && text.contains("131047"));
    }
}
