//! Requests and answers. Unknown members, missing ones and wrong lengths are refused.

mod account;
mod approval;
mod blob;
mod device;
mod guess;
mod handover;
mod record;
mod signin;
mod witness;

pub use account::{Account, AccountId, Invitation, Invite, SignIn, SignedIn, Token};
pub use approval::{
    APPROVAL_TRIES, ApprovalAnswer, ApprovalAsk, ApprovalCommit, ApprovalEnd, ApprovalJoin,
    ApprovalJoined, ApprovalPart, ApprovalReplied, ApprovalReply, ApprovalReveal, ApprovalSealed,
    ApprovalStart, ApprovalStarted, ApprovalState,
};
pub use blob::{
    BadBlobName, BlobInfo, BlobList, BlobName, BlobRestore, MAX_BLOB_BYTES, MAX_LISTED, UploadAt,
    UploadStart,
};
pub use device::{Device, DeviceId, DeviceList, DeviceName, MAX_DEVICES, SignedInBy};
pub use guess::{Evaluated, GuessStart, Proof, Proved, Which};
pub use handover::{
    CeremonySite, HandoverAnswer, HandoverAsk, HandoverEnd, HandoverFind, HandoverFound,
    HandoverKeys, HandoverLook, HandoverSealed, HandoverStart, HandoverStarted, HandoverState,
    HandoverView, HandoverWait, MAX_HANDOVER_BYTES,
};
pub use record::{
    Activate, Activated, ChangeOwner, Forget, LogEntry, LogKind, LogPage, LogRead, RecordName,
    RecordStatus, Registered, RegistrationFinish, RegistrationStart, RegistrationStarted,
    StatusRead, VaultInfo, log_start,
};
pub use signin::{
    Assertion, Bytes, ElsewhereStart, ElsewhereStarted, MAX_PAGE_BYTES, MAX_PASSKEYS, PageAnswer,
    PageCode, PageCreate, PageOptions, PageSession, PasskeyList, SignInFinish, SignInPasskey,
    SignInStart, SignInStarted, TenantName, TokenSignIn, Verifier,
};
pub use witness::{LineageId, WitnessPut, WitnessRead, Witnessed};

/// Bodies of answers of the guess route are filled up to this length with spaces, whatever they say.
pub const PADDED_BYTES: usize = 1024;

/// The longest JSON body of any request.
pub const MAX_REQUEST_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
