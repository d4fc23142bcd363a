//! What went wrong, said so that somebody can mend it, and without a credential.

use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use super::SqsQueue;
use crate::{Line, QueueError};

/// What is asked of SQS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Find,
    Make,
    Send,
    Receive,
    Delete,
    /// Makes a received item visible to others at once.
    Show,
    Count,
    Purge,
}

impl Call {
    /// For "… failed while".
    pub(super) const fn doing(self) -> &'static str {
        match self {
            Self::Open => "reading the configuration of AWS",
            Self::Find => "looking for the queue on Amazon SQS",
            Self::Make => "making the queue on Amazon SQS",
            Self::Send => "sending items to Amazon SQS",
            Self::Receive => "receiving items from Amazon SQS",
            Self::Delete => "deleting items on Amazon SQS",
            Self::Show => "giving items back to Amazon SQS",
            Self::Count => "counting items on Amazon SQS",
            Self::Purge => "purging the queue on Amazon SQS",
        }
    }

    /// The permission that it needs, as in a policy.
    const fn permission(self) -> &'static str {
        match self {
            Self::Open | Self::Find => "sqs:GetQueueUrl",
            Self::Make => "sqs:CreateQueue",
            Self::Send => "sqs:SendMessage",
            Self::Receive => "sqs:ReceiveMessage",
            Self::Delete => "sqs:DeleteMessage",
            Self::Show => "sqs:ChangeMessageVisibility",
            Self::Count => "sqs:GetQueueAttributes",
            Self::Purge => "sqs:PurgeQueue",
        }
    }
}

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no AWS region is known: set AWS_REGION, or a region in the profile that AWS_PROFILE names")]
    NoRegion,
    #[error(
        "there are no usable AWS credentials ({0}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or \
         give the machine, container or pod a role"
    )]
    NoCredentials(String),
    #[error(
        "AWS does not take the credentials ({0}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and \
         AWS_SESSION_TOKEN, whether they have expired, and this machine's clock"
    )]
    BadCredentials(String),
    #[error("AWS denies it ({code}): the credentials need {permission} on queue {queue}")]
    Denied { code: String, permission: &'static str, queue: String },
    #[error("SQS cannot be reached ({0}): check AWS_REGION, AWS_ENDPOINT_URL_SQS and the way there")]
    Unreachable(String),
    #[error("SQS did not answer in time")]
    Late,
    #[error("SQS refused it: {0}")]
    Refused(String),
    #[error("SQS would not take {count} of the items, the first because of {why}")]
    Entries { count: usize, why: String },
    #[error("SQS named no address of the queue")]
    NoUrl,
    #[error("SQS named no count")]
    NoCount,
}

impl Trouble {
    /// The error of the queue.
    pub(super) fn during(self, call: Call) -> QueueError {
        QueueError::Broker { doing: call.doing(), source: Box::new(self) }
    }
}

/// Codes of SQS and its front by which credentials are refused. What else such an answer says is not shown: it may repeat
/// the signed request, session token included.
const BAD_CREDENTIALS: [&str; 10] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Codes by which it is said that a call is not allowed.
const DENIED: [&str; 5] =
    ["AccessDenied", "AccessDeniedException", "AuthorizationError", "KmsAccessDenied", "KMS.AccessDeniedException"];

/// Codes by which it is said that there is no such queue: of the JSON protocol and of the older one.
const MISSING: [&str; 2] = ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"];

/// Codes by which it is said that a queue was purged within the last minute.
pub(super) const PURGED_ALREADY: [&str; 2] = ["PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress"];

/// Codes by which it is said that there is such a queue, made in another way.
pub(super) const THERE_ALREADY: [&str; 2] = ["QueueNameExists", "QueueAlreadyExists"];

/// Whether SQS answered with one of these codes.
pub(super) fn is_one_of<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code))
}

/// The most characters of a foreign message that are shown.
const MOST_SHOWN: usize = 300;

impl SqsQueue {
    /// The error of the queue for one of the SDK.
    pub(super) fn explain<E, R>(&self, call: Call, line: Line, error: SdkError<E, R>) -> QueueError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let name = self.name(line);
        let trouble = match &error {
            SdkError::ServiceError(answer) => {
                let answer = answer.err();
                match answer.code().unwrap_or("no code") {
                    code if MISSING.contains(&code) => return QueueError::Missing { name },
                    code if BAD_CREDENTIALS.contains(&code) => Trouble::BadCredentials(code.to_owned()),
                    code if DENIED.contains(&code) => {
                        Trouble::Denied { code: code.to_owned(), permission: call.permission(), queue: name }
                    }
                    code => Trouble::Refused(said(code, answer.message())),
                }
            }
            SdkError::TimeoutError(_) => Trouble::Late,
            other => match innermost(other) {
                (true, text) => Trouble::NoCredentials(text),
                (false, text) => Trouble::Unreachable(text),
            },
        };
        trouble.during(call)
    }
}

/// A code and what was said with it, bounded.
pub(super) fn said(code: &str, message: Option<&str>) -> String {
    let message: String = message.unwrap_or_default().chars().take(MOST_SHOWN).collect();
    if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") }
}

/// The last cause of an error, which says most, and whether credentials were what could not be had.
fn innermost(error: &(dyn Error + 'static)) -> (bool, String) {
    let mut credentials = false;
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
        credentials |= last.is::<aws_credential_types::provider::error::CredentialsError>();
    }
    (credentials, said(&last.to_string(), None).chars().take(MOST_SHOWN).collect())
}
