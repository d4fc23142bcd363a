//! CSV: a header line, `phone` required, `name` optional, every other column a field by its name.

use std::fs::File;

use kabar_domain::phone::DefaultRegion;

use super::{
    Row,
    columns::Columns,
    lines::{Lines, RowBudget},
    row,
};

/// The rows of a CSV file below its header.
pub(super) struct CsvRows<'a> {
    columns: &'a Columns,
    region: Option<DefaultRegion>,
    reader: ::csv::Reader<Lines<File>>,
    budget: RowBudget,
    record: ::csv::ByteRecord,
}

/// What the header line says.
pub(super) fn columns(file: File, delimiter: u8) -> anyhow::Result<Columns> {
    let mut reader = reader(file, delimiter, RowBudget::default());
    Columns::read(reader.byte_headers().map_err(row::unreadable)?)
}

fn reader(file: File, delimiter: u8, budget: RowBudget) -> ::csv::Reader<Lines<File>> {
    ::csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(Lines::new(file, budget))
}

impl<'a> CsvRows<'a> {
    pub(super) fn new(
        file: File,
        delimiter: u8,
        columns: &'a Columns,
        region: Option<DefaultRegion>,
    ) -> anyhow::Result<Self> {
        let budget = RowBudget::default();
        let mut reader = reader(file, delimiter, budget.clone());
        reader.byte_headers().map_err(row::unreadable)?;
        Ok(Self { columns, region, reader, budget, record: ::csv::ByteRecord::new() })
    }

    /// How many bytes were read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    /// The next row that is not blank.
    pub(super) fn read(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            self.budget.renew();
            let earliest = self.reader.position().line();
            if !self.reader.read_byte_record(&mut self.record).map_err(row::unreadable)? {
                return Ok(None);
            }
            // The reader stands behind the row's line break, so its first line is that many lines up. The last row has none
            // where its quotation mark is never closed.
            let inside: usize = self.record.iter().map(|field| field.iter().filter(|b| **b == b'\n').count()).sum();
            let line = self.reader.position().line().saturating_sub(1 + inside as u64).max(earliest);
            if let Some(row) = row::read(&self.record, line, self.columns, self.region)? {
                return Ok(Some(row));
            }
        }
    }
}
