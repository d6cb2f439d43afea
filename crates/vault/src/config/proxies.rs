//! Who asks, when a web server stands in front.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::HeaderMap;

/// Hops that are looked at, from the last one.
const HOPS: usize = 16;

/// An address, or all that share its first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Not an address, nor an address with a number of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address, or a network such as 10.0.0.0/8")]
pub struct BadNetwork;

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNetwork)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| BadNetwork)?;
        if bits > all {
            return Err(BadNetwork);
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, all: u32| {
            let rest = all.saturating_sub(u32::from(self.bits));
            one.checked_shr(rest) == other.checked_shr(rest)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                same(one.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

/// Which header the web server writes. Never both: the one that it does not write comes from anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, as Caddy and nginx write it.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Web servers in front that tell the truth about who asks.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Their addresses. Of nobody else the header is looked at.
    pub trusted: Vec<Network>,
    /// What they write.
    pub header: ForwardedHeader,
}

impl Proxies {
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.holds(address))
    }

    /// Who asks: the last hop that is none of ours. What makes no sense is as if the hop before it asked.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trust(peer) {
            return peer;
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        let mut client = peer;
        let mut values: Vec<_> = headers.get_all(name).iter().collect();
        values.reverse();
        let hops = values
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .flat_map(|value| value.rsplit(','));
        for hop in hops.take(HOPS) {
            let address = match self.header {
                ForwardedHeader::XForwardedFor => address(hop.trim()),
                ForwardedHeader::Forwarded => forwarded_for(hop),
            };
            let Some(address) = address else {
                return client;
            };
            client = address;
            if !self.trust(address) {
                return client;
            }
        }
        client
    }
}

/// `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5`.
fn address(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
        return is_port
            .then(|| address.parse().ok().map(IpAddr::V6))
            .flatten();
    }
    text.parse().ok().or_else(|| {
        let (address, port) = text.split_once(':')?;
        port.parse::<u16>().ok()?;
        address.parse().ok().map(IpAddr::V4)
    })
}

/// The address behind `for=` of one hop (RFC 7239, section 4); names that hide somebody are none.
fn forwarded_for(hop: &str) -> Option<IpAddr> {
    let mut found = hop.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let (Some(value), None) = (found.next(), found.next()) else {
        return None;
    };
    address(
        value
            .strip_prefix('"')
            .map_or(Some(value), |rest| rest.strip_suffix('"'))?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ForwardedHeader, peer: &str, lines: &[&str]) -> String {
        let proxies = Proxies {
            trusted: vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
            header,
        };
        let name = match header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        // The other header is nobody's word.
        let other = match header {
            ForwardedHeader::XForwardedFor => "forwarded",
            ForwardedHeader::Forwarded => "x-forwarded-for",
        };
        headers.append(other, "for=6.6.6.6".parse().unwrap());
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_last_hop_that_is_none_of_ours_asks() {
        let xff = |peer: &str, lines: &[&str]| client(ForwardedHeader::XForwardedFor, peer, lines);
        assert_eq!(xff("127.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(xff("127.0.0.1", &["9.9.9.9, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(
            xff("127.0.0.1", &["9.9.9.9", "1.2.3.4, 10.1.2.3"]),
            "1.2.3.4"
        );
        assert_eq!(xff("127.0.0.1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(xff("127.0.0.1", &["1.2.3.4:567"]), "1.2.3.4");
        assert_eq!(xff("::ffff:127.0.0.1", &["1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn nobody_else_is_believed() {
        let xff = |peer: &str, lines: &[&str]| client(ForwardedHeader::XForwardedFor, peer, lines);
        assert_eq!(xff("5.5.5.5", &["1.2.3.4"]), "5.5.5.5");
        assert_eq!(xff("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(xff("127.0.0.1", &["nonsense"]), "127.0.0.1");
        assert_eq!(
            xff("127.0.0.1", &["1.2.3.4, nonsense, 10.0.0.1"]),
            "10.0.0.1"
        );
        assert_eq!(xff("127.0.0.1", &["10.0.0.1"]), "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        let to = |lines: &[&str]| client(ForwardedHeader::Forwarded, "10.0.0.1", lines);
        assert_eq!(
            to(&["for=192.0.2.60;proto=http;by=203.0.113.43"]),
            "192.0.2.60"
        );
        assert_eq!(
            to(&["For=\"[2001:db8:cafe::17]:4711\""]),
            "2001:db8:cafe::17"
        );
        assert_eq!(
            to(&["for=192.0.2.43, for=\"[2001:db8::1]\", for=10.0.0.2"]),
            "2001:db8::1"
        );
        for hidden in [
            "for=unknown",
            "for=_mdn",
            "by=1.2.3.4",
            "for=1.2.3.4;for=5.6.7.8",
            "for=\"1.2.3.4",
            "",
        ] {
            assert_eq!(to(&[hidden]), "10.0.0.1", "{hidden}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "host",
            "10.0.0.0/-1",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(BadNetwork), "{wrong}");
        }
        let all: Network = "::/0".parse().unwrap();
        assert!(all.holds("2001:db8::1".parse().unwrap()));
        assert!(!all.holds("1.2.3.4".parse().unwrap()));
    }
}
