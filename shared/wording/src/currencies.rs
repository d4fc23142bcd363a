//! The currencies of ISO 4217 (list one, without metals, funds and test codes) and the decimals of their smallest units.
//! CLDR does not say which codes are in use, and counts decimals as they are shown, not as they exist.

/// Currencies whose smallest unit is a hundredth.
const HUNDREDTHS: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF \
CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR \
JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR \
NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY \
TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";
/// Currencies without a smaller unit.
const WHOLE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
/// Currencies whose smallest unit is a thousandth.
const THOUSANDTHS: &str = "BHD IQD JOD KWD LYD OMR TND";

/// A currency in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Currency {
    /// Its code.
    pub(crate) code: &'static str,
    /// How many decimals its smallest unit has.
    pub(crate) decimals: u8,
}

/// The currency with this code, in any case.
pub(crate) fn find(code: &str) -> Option<Currency> {
    let code = code.trim();
    [(HUNDREDTHS, 2), (WHOLE, 0), (THOUSANDTHS, 3)].into_iter().find_map(|(codes, decimals)| {
        let code = codes.split(' ').find(|known| known.eq_ignore_ascii_case(code))?;
        Some(Currency { code, decimals })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_any_case_and_no_others() {
        assert_eq!(find("idr"), Some(Currency { code: "IDR", decimals: 2 }));
        assert_eq!(find("JPY").map(|currency| currency.decimals), Some(0));
        assert_eq!(find("KWD").map(|currency| currency.decimals), Some(3));
        for code in ["", "ID", "IDRX", "XXX", "XYZ", "I R"] {
            assert_eq!(find(code), None, "{code}");
        }
    }

    #[test]
    fn every_code_stands_once() {
        let mut codes: Vec<&str> =
            [HUNDREDTHS, WHOLE, THOUSANDTHS].into_iter().flat_map(|list| list.split(' ')).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert!(codes.iter().all(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())));
    }
}
