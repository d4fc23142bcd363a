//! CLDR's data for amounts of money, but for the number of decimals: ICU's formatter takes that from the currency alone,
//! while here it follows from the amount, too.

use icu_experimental::dimension::{
    currency::CurrencyType,
    provider::currency::{
        essentials::CurrencyEssentialsV1,
        fractions::{CurrencyFractions, CurrencyFractionsV1, FractionInfo},
        no_currency::CurrencyPatternsNoCurrencyV1,
        symbols::{CurrencyDecimalSymbolsV1, CurrencySymbolsV1},
    },
};
use icu_provider::prelude::*;

/// How many decimals a whole amount of the currency is shown with: none for IDR, two for USD.
pub(crate) fn shown_when_whole(currency: CurrencyType) -> Option<u8> {
    let fractions: DataResponse<CurrencyFractionsV1> =
        icu_experimental::provider::Baked.load(DataRequest::default()).ok()?;
    let shown = fractions.payload.get().resolve(currency);
    Some(shown.cash_digits.unwrap_or(shown.digits))
}

/// CLDR's data, with this number of decimals for every currency.
pub(crate) struct WithDecimals(pub(crate) u8);

impl DataProvider<CurrencyFractionsV1> for WithDecimals {
    fn load(&self, _: DataRequest<'_>) -> Result<DataResponse<CurrencyFractionsV1>, DataError> {
        let default = FractionInfo { digits: self.0, ..FractionInfo::default() };
        let payload = DataPayload::from_owned(CurrencyFractions { fractions: zerovec::ZeroMap::default(), default });
        Ok(DataResponse { metadata: DataResponseMetadata::default(), payload })
    }
}

macro_rules! as_compiled_in {
    ($data:path: $($marker:ty),+) => {
        $(impl DataProvider<$marker> for WithDecimals {
            fn load(&self, request: DataRequest<'_>) -> Result<DataResponse<$marker>, DataError> {
                $data.load(request)
            }
        })+
    };
}

as_compiled_in!(icu_experimental::provider::Baked:
    CurrencyEssentialsV1, CurrencySymbolsV1, CurrencyPatternsNoCurrencyV1, CurrencyDecimalSymbolsV1);
as_compiled_in!(icu_decimal::provider::Baked:
    icu_decimal::provider::DecimalSymbolsV1, icu_decimal::provider::DecimalDigitsV1);
