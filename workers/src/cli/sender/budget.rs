//! `kabar sender budget`: how many people a sender's portfolio may write to in a moving day.

use std::str::FromStr;

use clap::Args;
use kabar_store::Budget;

use crate::{
    cli::{ledger::Ledger, output::show},
    views,
};

/// How many different people the sender's business portfolio may write to in 24 hours
///
/// WhatsApp gives each business portfolio such a limit (WhatsApp Manager shows it: 250, 2,000, 10,000, 100,000 or none) and
/// tells of changes by webhook, which kabar follows. Whom it does not fit waits until a place is free; people who wrote within
/// the last 24 hours, and those written to already, cost nothing. What was sent before a budget is set does not count.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar sender budget shop
  kabar sender budget shop --people-per-day 2000
  kabar sender budget shop --people-per-day unlimited
  kabar sender budget shop-2 --portfolio-id 1029384756")]
pub(super) struct BudgetArgs {
    /// A sender of the portfolio
    name: String,
    /// How many different people, or unlimited; it holds for all senders of the portfolio
    #[arg(long, value_name = "N")]
    people_per_day: Option<Limit>,
    /// The business portfolio that the sender is in [default: its account]
    #[arg(long, value_name = "ID")]
    portfolio_id: Option<String>,
}

/// A number of people; none: as many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u64>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "unlimited" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(people) if people > 0 => Ok(Self(Some(people))),
                _ => Err("give a number of people from 1 on, such as 2000, or unlimited".to_owned()),
            },
        }
    }
}

pub(super) async fn run(ledger: &Ledger, arguments: BudgetArgs, json: bool) -> anyhow::Result<()> {
    let mut sender = ledger.store.sender(ledger.tenant, &arguments.name).await?;
    if let Some(portfolio) = &arguments.portfolio_id {
        sender = ledger.store.set_portfolio(ledger.tenant, &arguments.name, portfolio).await?;
    }
    if let Some(Limit(people)) = arguments.people_per_day {
        ledger.store.set_budget(&sender, people).await?;
    }
    let budget = ledger.store.budget(&sender).await?;
    show(json, &budget.map(views::Budget::from), || format!("portfolio {}: {}", sender.portfolio, told(budget)))
}

/// A budget in a few words.
pub(super) fn told(budget: Option<Budget>) -> String {
    match budget {
        None => "no limit is set".to_owned(),
        Some(Budget { people_per_day: None, .. }) => "unlimited".to_owned(),
        Some(Budget { people_per_day: Some(most), people }) => format!("{people} of {most} people in 24 hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_none() {
        assert_eq!("2000".parse(), Ok(Limit(Some(2_000))));
        assert_eq!("unlimited".parse(), Ok(Limit(None)));
        assert!(["0", "-1", "2K", ""].into_iter().all(|text| text.parse::<Limit>().is_err()));
    }
}
