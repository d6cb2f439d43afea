//! OPAQUE's server half (RFC 9807, section 6), with key material from outside.

use heirloom_vault_api::{Fixed, OpaqueRng, RecordName, suite};
use opaque_ke::generic_array::GenericArray;
use opaque_ke::key_exchange::group::Group;
use opaque_ke::key_exchange::tripledh::DiffieHellman;
use opaque_ke::{
    CredentialFinalization, CredentialRequest, Identifiers, RegistrationUpload, Ristretto255,
    ServerLogin, ServerLoginParameters, ServerRegistration,
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::keys::ServerKeys;

/// Something was not OPAQUE's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads KE1. What fails here is refused before it counts: nothing would be evaluated.
pub(crate) fn request(ke1: &Fixed<96>) -> Result<CredentialRequest<suite::V1>, Malformed> {
    CredentialRequest::deserialize(ke1.as_bytes()).map_err(|_| Malformed)
}

/// What one record's evaluation takes: 32 bytes of OPRF key material and 192 of the client's record.
pub(crate) struct Stored {
    pub(crate) material: Zeroizing<[u8; 32]>,
    /// `None`: a name that nobody registered.
    pub(crate) upload: Option<ServerRegistration<suite::V1>>,
}

impl Stored {
    /// Takes the opened column apart.
    pub(crate) fn parse(plain: &[u8]) -> Result<Self, Malformed> {
        let (material, upload) = plain.split_first_chunk::<32>().ok_or(Malformed)?;
        Ok(Self {
            material: Zeroizing::new(*material),
            upload: Some(ServerRegistration::deserialize(upload).map_err(|_| Malformed)?),
        })
    }
}

/// One evaluation: KE2, and the state that verifies KE3.
pub(crate) fn evaluate(
    keys: &dyn ServerKeys,
    stored: Stored,
    request: CredentialRequest<suite::V1>,
    record: &RecordName,
    context: &[u8],
) -> Result<(Fixed<320>, ServerLogin<suite::V1>), Malformed> {
    let Stored { material, upload } = stored;
    let builder = ServerLogin::builder_with_key_material(
        &mut OpaqueRng(&mut super::rng()),
        keys.setup(),
        GenericArray::from(*material),
        upload,
        request,
        parameters(record, context),
    )
    .map_err(|_| Malformed)?;
    let mut secret = builder.private_key().serialize();
    let scalar = <Ristretto255 as Group>::deserialize_take_sk(&mut secret.as_slice());
    secret.as_mut_slice().zeroize();
    // Wiped on drop.
    let scalar = scalar.map_err(|_| Malformed)?;
    let shared =
        DiffieHellman::<Ristretto255>::diffie_hellman(&scalar, builder.data().to_group_type());
    drop(scalar);
    let started = builder.build(shared).map_err(|_| Malformed)?;
    let ke2 = Fixed::try_from(started.message.serialize().as_slice()).map_err(|_| Malformed)?;
    Ok((ke2, started.state))
}

/// Verifies KE3.
pub(crate) fn is_proof(
    login: ServerLogin<suite::V1>,
    ke3: &Fixed<64>,
    record: &RecordName,
    context: &[u8],
) -> bool {
    let Ok(ke3) = CredentialFinalization::deserialize(ke3.as_bytes()) else {
        return false;
    };
    login.finish(ke3, parameters(record, context)).is_ok()
}

fn parameters<'a>(record: &'a RecordName, context: &'a [u8]) -> ServerLoginParameters<'a, 'a> {
    ServerLoginParameters {
        context: Some(context),
        identifiers: Identifiers {
            client: Some(record.as_bytes()),
            server: None,
        },
    }
}

/// Whether the client's last registration message is one.
pub(crate) fn is_upload(upload: &Fixed<192>) -> bool {
    RegistrationUpload::<suite::V1>::deserialize(upload.as_bytes()).is_ok()
        && ServerRegistration::<suite::V1>::deserialize(upload.as_bytes()).is_ok()
}
