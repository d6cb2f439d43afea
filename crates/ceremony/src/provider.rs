//! Names of those who keep passkeys.

/// The name of the provider with this AAGUID, for display only: anyone can claim one.
pub fn provider_name(aaguid: &[u8; 16]) -> Option<&'static str> {
    let _ = aaguid;
    None
}
