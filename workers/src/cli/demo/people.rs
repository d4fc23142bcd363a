//! The made-up people of the demo.
//!
//! Beside the sandbox's test numbers they have numbers of the area code 999, which the North American plan keeps back
//! and gives to nobody; no message to them could arrive anywhere, even if it left this machine.

use kabar_domain::{
    content::Fields,
    phone::{InvalidNumber, PhoneNumber},
};
use kabar_store::NewRecipient;

/// A test number of the sandbox that always accepts.
pub(super) const ACCEPTED: &str = "+15550100";
/// A test number whose messages are accepted and fail later with 131026.
pub(super) const FAILS: &str = "+15550101";
/// A test number that is refused with 131047, which blocks it.
pub(super) const REFUSED: &str = "+15550102";

/// The place in the group of the person who was blocked before the demo began.
const BLOCKED_BEFORE: u32 = 4;

const FIRST: [&str; 16] = [
    "Aisyah", "Budi", "Citra", "Dewi", "Eko", "Fatimah", "Gilang", "Hasan", "Intan", "Joko", "Kartika", "Lukman",
    "Maya", "Nur", "Putri", "Rahmat",
];
const LAST: [&str; 13] = [
    "Anggraini",
    "Contoh",
    "Firmansyah",
    "Gunawan",
    "Hidayat",
    "Kusuma",
    "Lestari",
    "Nugroho",
    "Pratama",
    "Rahayu",
    "Santoso",
    "Utami",
    "Wijaya",
];
const PACKAGES: [&str; 3] = ["Paket Hemat", "Paket Reguler", "Paket Plus Turki"];

/// The member of the group at `index`.
pub(super) fn member(index: u32) -> Result<NewRecipient, InvalidNumber> {
    let (phone, name) = match index {
        0 => (ACCEPTED.to_owned(), "Uji Diterima".to_owned()),
        1 => (FAILS.to_owned(), "Uji Gagal".to_owned()),
        2 => (REFUSED.to_owned(), "Uji Ditolak".to_owned()),
        _ => (pilgrim_phone(index), pilgrim_name(index)),
    };
    let package = PACKAGES[index as usize % PACKAGES.len()];
    let fields = Fields::from([("package".to_owned(), package.to_owned())]);
    Ok(NewRecipient { name: Some(name), fields, ..NewRecipient::new(PhoneNumber::from_e164(phone)?) })
}

/// The number of the person who was blocked before the demo began; none in a group that is too small to have one.
pub(super) fn blocked_before(recipients: u32) -> Result<Option<PhoneNumber>, InvalidNumber> {
    (recipients > BLOCKED_BEFORE).then(|| member(BLOCKED_BEFORE).map(|member| member.phone)).transpose()
}

/// The number of a person in the group.
pub(super) fn pilgrim_phone(index: u32) -> String {
    format!("+1999{:07}", 2_000_000 + index)
}

/// The name of a person in the group.
pub(super) fn pilgrim_name(index: u32) -> String {
    let index = index as usize;
    format!("{} {}", FIRST[index % FIRST.len()], LAST[(index * 5) % LAST.len()])
}

/// The number of a guide, who is in no group.
pub(super) fn guide_phone(index: u64) -> String {
    format!("+1999{:07}", 8_000_000 + index)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn everyone_has_a_number_of_their_own_that_nobody_can_have() {
        let members: Vec<_> = (0..100_000).map(|index| member(index).unwrap()).collect();
        let phones: HashSet<_> = members.iter().map(|member| member.phone.as_str()).collect();
        assert_eq!(phones.len(), members.len());
        assert!(phones.iter().all(|phone| phone.starts_with("+1999") || phone.starts_with("+1555010")));
        assert!(members.iter().all(|member| member.fields.contains_key("package")));
    }

    #[test]
    fn a_small_group_has_nobody_who_was_blocked_before() {
        assert!(blocked_before(4).unwrap().is_none());
        assert_eq!(blocked_before(5).unwrap().unwrap().as_str(), pilgrim_phone(BLOCKED_BEFORE));
    }
}
