//! Recipients, groups and blocks.

use kabar_domain::{content::Fields, message::MessageState::Queued, outcome::Outcome, report::Report, sender::Channel};
use kabar_store::{NewRecipient, Store, StoreError};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};

use super::{fixtures::*, receipts::inbound};

on_both_ledgers!(
    what_an_import_brings_overwrites_and_the_rest_stays,
    recipients_are_listed_in_pages,
    imports_at_once_do_not_wait_for_each_other,
    a_group_is_made_by_its_first_members,
    members_leave_and_a_group_is_replaced,
    a_person_blocks_and_unblocks,
    a_newer_inbound_message_lifts_a_closed_window,
    an_older_inbound_message_lifts_nothing,
    a_persons_own_block_is_not_lifted_by_a_message,
);

fn row(number: u64, name: Option<&str>, package: Option<&str>) -> NewRecipient {
    let fields = package.map(|package| ("package".to_owned(), package.to_owned())).into_iter().collect();
    NewRecipient { name: name.map(str::to_owned), fields, ..NewRecipient::new(phone(number)) }
}

async fn what_an_import_brings_overwrites_and_the_rest_stays(ledger: TestLedger) {
    let store = ledger.store();
    let import = async |rows: &[NewRecipient]| {
        let imported = store.import_recipients(TENANT, rows, None).await.unwrap();
        (imported.ids.len(), imported.new, imported.changed)
    };
    assert_eq!(import(&[row(1, Some("Siti"), Some("Hemat")), row(2, None, None), row(1, None, None)]).await, (2, 2, 0));
    assert_eq!(import(&[row(1, None, None), row(2, Some("Budi"), Some("VIP")), row(3, None, None)]).await, (3, 1, 1));
    let known = async |number| store.recipient(TENANT, &phone(number)).await.unwrap();
    let (siti, budi) = (known(1).await, known(2).await);
    assert_eq!((siti.name.as_deref(), siti.fields["package"].as_str()), (Some("Siti"), "Hemat"));
    assert_eq!((budi.name.as_deref(), budi.fields["package"].as_str()), (Some("Budi"), "VIP"));
    import(&[row(1, Some("Siti Aminah"), None)]).await;
    assert_eq!(known(1).await.name.as_deref(), Some("Siti Aminah"));
    assert_eq!(known(3).await.fields, Fields::new());
    let error = store.recipient(TENANT, &phone(4)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }) && !error.to_string().contains("812"), "{error}");
    let too_many: Vec<_> = (0..1_001).map(|number| row(number, None, None)).collect();
    assert!(matches!(store.import_recipients(TENANT, &too_many, None).await, Err(StoreError::Refused(_))));
}

async fn recipients_are_listed_in_pages(ledger: TestLedger) {
    let store = ledger.store();
    let rows: Vec<_> = (0..5).map(|number| row(number, None, None)).collect();
    store.import_recipients(TENANT, &rows, None).await.unwrap();
    store.block(TENANT, &phone(3), Channel::Whatsapp, "asked by phone").await.unwrap();
    let first = store.recipients(TENANT, 0, 3).await.unwrap();
    let rest = store.recipients(TENANT, first[2].id, 3).await.unwrap();
    assert_eq!((first.len(), rest.len()), (3, 2));
    let blocked: Vec<_> =
        first.iter().chain(&rest).filter(|one| !one.blocks.is_empty()).map(|one| &one.phone).collect();
    assert_eq!(blocked, [&phone(3)]);
    let some = store.recipients_by_phone(TENANT, &[phone(4), phone(99), phone(3)]).await.unwrap();
    assert_eq!(some.len(), 2);
}

async fn imports_at_once_do_not_wait_for_each_other(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    for round in 0..5 {
        let name = format!("round {round}");
        let up: Vec<_> = (0..800).map(|number| row(number, Some(&name), None)).collect();
        let down: Vec<_> = (0..800).rev().map(|number| row(number, Some(&name), Some("VIP"))).collect();
        let (first, second) = tokio::join!(
            one.import_recipients(TENANT, &up, Some("umroh")),
            other.import_recipients(TENANT, &down, Some("umroh"))
        );
        first.unwrap();
        second.unwrap();
    }
    assert_eq!(one.group(TENANT, "umroh").await.unwrap().members, 800);
}

async fn a_group_is_made_by_its_first_members(ledger: TestLedger) {
    let store = ledger.store();
    let rows: Vec<_> = (0..3).map(|number| row(number, Some("Siti"), None)).collect();
    store.import_recipients(TENANT, &rows, Some("umroh")).await.unwrap();
    store.import_recipients(TENANT, &rows[..1], Some("haji")).await.unwrap();
    store.import_recipients(TENANT, &rows, Some("umroh")).await.unwrap();
    let groups = store.groups(TENANT).await.unwrap();
    let listed: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.members)).collect();
    assert_eq!(listed, [("haji", 1), ("umroh", 3)]);
    let umroh = store.group(TENANT, "umroh").await.unwrap();
    let members = store.group_members(umroh.id, 0, 2).await.unwrap();
    assert_eq!(members.iter().map(|(_, phone, _)| phone.clone()).collect::<Vec<_>>(), [phone(0), phone(1)]);
    let rest = store.recipients_in_group(umroh.id, members[1].0, 10).await.unwrap();
    assert_eq!(rest.iter().map(|one| one.phone.clone()).collect::<Vec<_>>(), [phone(2)]);
    assert!(matches!(store.group(TENANT, "none").await, Err(StoreError::NotFound { .. })));
}

async fn members_leave_and_a_group_is_replaced(ledger: TestLedger) {
    let store = ledger.store();
    let rows: Vec<_> = (0..5).map(|number| row(number, None, None)).collect();
    let imported = store.import_recipients(TENANT, &rows, Some("umroh")).await.unwrap();
    assert_eq!((imported.new, imported.changed, imported.joined), (5, 0, 5));
    assert_eq!(store.leave_group(TENANT, "umroh", &[phone(0), phone(0), phone(99)]).await.unwrap(), 1);
    assert_eq!(store.leave_group(TENANT, "umroh", &[phone(0)]).await.unwrap(), 0);
    let again = store.import_recipients(TENANT, &rows[..2], Some("umroh")).await.unwrap();
    assert_eq!((again.new, again.changed, again.joined), (0, 0, 1));
    let stay = again.ids.into_iter().collect();
    assert_eq!(store.keep_in_group(TENANT, "umroh", &stay).await.unwrap(), 3);
    assert_eq!(store.keep_in_group(TENANT, "umroh", &stay).await.unwrap(), 0);
    assert_eq!(store.group(TENANT, "umroh").await.unwrap().members, 2);
    assert_eq!(store.recipients(TENANT, 0, 10).await.unwrap().len(), 5, "whoever left stays known");
    let others = store.ensure_tenant("acme").await.unwrap();
    assert!(matches!(store.leave_group(others, "umroh", &[phone(1)]).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.keep_in_group(others, "umroh", &stay).await, Err(StoreError::NotFound { .. })));
}

async fn a_person_blocks_and_unblocks(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let (number, channel) = (phone(0), Channel::Whatsapp);
    assert!(store.unblock(TENANT, &number, channel).await.is_err(), "nobody knows the number");
    store.block(TENANT, &number, channel, "asked by phone").await.unwrap();
    store.block(TENANT, &number, channel, "asked again").await.unwrap();
    let recipient = store.recipient(TENANT, &number).await.unwrap();
    let blocks = store.blocks_of(recipient.id).await.unwrap();
    assert_eq!(blocks, recipient.blocks);
    assert_eq!((blocks.len(), blocks[0].reason.as_str(), blocks[0].code), (1, "asked again", None));
    assert_eq!((blocks[0].source.as_str(), blocks[0].blocked_at), ("a person", START_MS));
    assert!(store.unblock(TENANT, &number, channel).await.unwrap());
    assert!(!store.unblock(TENANT, &number, channel).await.unwrap());
    assert_eq!(states(store, planned(store, send("s", 0)).await).await, [Queued]);
}

/// The recipient 0, blocked because the 24-hour window had closed.
async fn window_closed_for(ledger: &TestLedger) -> &Store {
    let (_, courier, sending) = one_sending(ledger).await;
    courier.settle(&sending, Outcome { meaning: "the window had closed".to_owned(), ..window_closed() }).await;
    assert_eq!(blocks(ledger.store()).await, 1);
    ledger.store()
}

async fn blocks(store: &Store) -> usize {
    store.recipient(TENANT, &phone(0)).await.unwrap().blocks.len()
}

async fn a_newer_inbound_message_lifts_a_closed_window(ledger: TestLedger) {
    let store = window_closed_for(&ledger).await;
    report(store, vec![Report::Inbound(inbound("w1", START_MS + 1))]).await;
    assert_eq!(blocks(store).await, 0);
    assert_eq!(states(store, planned(store, send("s", 0)).await).await, [Queued]);
}

async fn an_older_inbound_message_lifts_nothing(ledger: TestLedger) {
    let store = window_closed_for(&ledger).await;
    report(store, vec![Report::Inbound(inbound("w1", START_MS)), Report::Inbound(inbound("w2", START_MS - DAY_MS))])
        .await;
    assert_eq!(blocks(store).await, 1);
}

async fn a_persons_own_block_is_not_lifted_by_a_message(ledger: TestLedger) {
    let (_, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    store.block(TENANT, &phone(0), Channel::Whatsapp, "asked by phone").await.unwrap();
    // The message that was on its way meets a closed window: the person's word stands.
    courier.settle(&sending, window_closed()).await;
    report(store, vec![Report::Inbound(inbound("w1", START_MS + DAY_MS))]).await;
    let recipient = store.recipient(TENANT, &phone(0)).await.unwrap();
    assert_eq!(recipient.blocks[0].reason, "asked by phone");
}
