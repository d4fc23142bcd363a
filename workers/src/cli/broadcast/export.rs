//! `kabar broadcast export`: what became of every recipient, as CSV that `--file` takes again.

use std::io::{self, Write as _};

use anyhow::Context as _;
use kabar_store::ExportRow;
use serde_json::json;

use crate::{
    cli::{ledger::Ledger, output},
    views::{EXPORT_COLUMNS, export_record},
};

/// How many rows are read from the ledger at once.
const PAGE: u32 = 1_000;

pub(super) async fn run(ledger: &Ledger, id: &str, json: bool) -> anyhow::Result<()> {
    let job_id = ledger.store.broadcast(ledger.tenant, id).await?.job_id;
    let mut sink = Sink::begin(json)?;
    let mut after = 0;
    loop {
        let rows = ledger.store.export(job_id, after, PAGE).await?;
        let Some(last) = rows.last() else { return sink.end() };
        after = last.message_id;
        for row in &rows {
            sink.write(row)?;
        }
    }
}

/// Where rows go, one by one: a broadcast may have a million.
enum Sink {
    Csv(Box<::csv::Writer<io::Stdout>>),
    Json { out: io::BufWriter<io::Stdout>, first: bool },
}

impl Sink {
    fn begin(json: bool) -> anyhow::Result<Self> {
        if json {
            let mut out = io::BufWriter::new(io::stdout());
            out.write_all(b"[")?;
            return Ok(Self::Json { out, first: true });
        }
        let mut csv = ::csv::Writer::from_writer(io::stdout());
        csv.write_record(EXPORT_COLUMNS).map_err(unwritten)?;
        Ok(Self::Csv(Box::new(csv)))
    }

    fn write(&mut self, row: &ExportRow) -> anyhow::Result<()> {
        match self {
            Self::Csv(csv) => csv.write_record(export_record(row)).map_err(unwritten),
            Self::Json { out, first } => {
                out.write_all(if *first { b"\n" } else { b",\n" })?;
                *first = false;
                let value = json!({
                    "phone": row.phone, "name": row.name, "state": row.state, "reason": row.reason, "code": row.code,
                    "meaning": row.meaning, "attempts": row.attempts, "updated_at": output::time(row.updated_at),
                    "message": row.message_id,
                });
                serde_json::to_writer(out, &value).map_err(io::Error::from)?;
                Ok(())
            }
        }
    }

    fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(mut csv) => csv.flush().context("cannot write to standard output"),
            Self::Json { mut out, first } => {
                out.write_all(if first { b"]\n" } else { b"\n]\n" })?;
                out.flush().context("cannot write to standard output")
            }
        }
    }
}

fn unwritten(error: ::csv::Error) -> anyhow::Error {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => anyhow::Error::new(error).context("cannot write to standard output"),
        other => anyhow::anyhow!("cannot write this as CSV: {other:?}"),
    }
}
