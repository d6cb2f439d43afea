mod relay;
mod sign_in;
mod site;

use super::*;
use crate::ask::{Ask, Enrol, Known, Purpose};
use crate::testing::Fake;

const INPUT: [u8; 32] = [5; 32];
const SESSION: [u8; 16] = [0x5e; 16];
const ORIGIN: &str = "https://vault.example.org";

fn site() -> Site {
    Site::new("example.org", "https://vault.example.org/ceremony").unwrap()
}

/// A passkey of the site, and not of this computer's page.
fn fake(number: u8) -> Fake {
    let mut fake = Fake::new(number);
    fake.rp_id = "example.org";
    fake
}

fn known(fake: &Fake) -> Known {
    Known {
        rp_id: "example.org".to_owned(),
        ..fake.known()
    }
}

const fn ask(candidates: &[Known]) -> Ask<'_> {
    Ask {
        purpose: Purpose::Restore,
        prf_input: &INPUT,
        candidates,
    }
}

const ENROL: Enrol<'static> = Enrol {
    prf_input: &INPUT,
    exclude: &[],
    user_name: "Unlocks your chat backup – don't delete",
    display_name: "Unlocks your chat backup – don't delete",
};
