//! Names and addresses: what may be bound or connected to, and how a name becomes addresses.

use crate::host::machine::Machine;
use crate::netns::Netns;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use wakeline_runtime::spawn_blocking;

/// What can be turned into socket addresses: an address, or a name and a port.
///
/// As tokio's trait of that name: addresses are used as they are, and a string or a pair of name and port is looked up
/// where the caller stands. On an emulated host that is the table of its LAN's host names, and `localhost`, each
/// with an address of IPv4 and one of IPv6, in this order; on the operating
/// system it is `getaddrinfo`, on the blocking pool. The trait is sealed.
pub trait ToSocketAddrs: sealed::Target {}

/// Addresses, or what is to be looked up.
#[derive(Clone, Debug)]
pub enum Unresolved {
    /// Nothing to look up.
    Addrs(Vec<SocketAddr>),
    /// A host's name and a port.
    Name(String, u16),
    /// Text that is neither an address nor `name:port`.
    Invalid(String),
}

mod sealed {
    pub trait Target {
        #[doc(hidden)]
        fn target(&self) -> super::Unresolved;
    }
}

use sealed::Target;

impl<T: Target + ?Sized> ToSocketAddrs for T {}

impl<T: Target + ?Sized> Target for &T {
    fn target(&self) -> Unresolved {
        (**self).target()
    }
}

impl Target for SocketAddr {
    fn target(&self) -> Unresolved {
        Unresolved::Addrs(vec![*self])
    }
}

impl Target for [SocketAddr] {
    fn target(&self) -> Unresolved {
        Unresolved::Addrs(self.to_vec())
    }
}

impl Target for str {
    fn target(&self) -> Unresolved {
        if let Ok(addr) = self.parse() {
            return Unresolved::Addrs(vec![addr]);
        }
        match self.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
            Some((name, Ok(port))) if !name.is_empty() => Unresolved::Name(name.to_owned(), port),
            _ => Unresolved::Invalid(self.to_owned()),
        }
    }
}

impl Target for String {
    fn target(&self) -> Unresolved {
        self.as_str().target()
    }
}

impl Target for (&str, u16) {
    fn target(&self) -> Unresolved {
        match self.0.parse::<IpAddr>() {
            Ok(ip) => (ip, self.1).target(),
            Err(_) => Unresolved::Name(self.0.to_owned(), self.1),
        }
    }
}

impl Target for (String, u16) {
    fn target(&self) -> Unresolved {
        (self.0.as_str(), self.1).target()
    }
}

macro_rules! addresses {
    ($($addr:ty),*) => {$(
        impl Target for $addr {
            fn target(&self) -> Unresolved {
                Unresolved::Addrs(vec![SocketAddr::from(*self)])
            }
        }
    )*};
}

addresses!(SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

/// The addresses of `target`, looked up where the calling task stands.
///
/// # Errors
/// `InvalidInput` for text that is no `name:port`, `NotFound` for a name that no host of the LAN has, and what the operating
/// system's resolver says.
///
/// # Cancel safety
/// Dropping the future abandons the answer; the operating system's lookup itself goes on, on the blocking pool.
pub async fn lookup_host(target: impl ToSocketAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let unresolved = target.target();
    Ok(resolve(unresolved).await?.into_iter())
}

pub(crate) async fn resolve(target: Unresolved) -> io::Result<Vec<SocketAddr>> {
    match (target, Netns::current()) {
        (Unresolved::Name(name, port), Netns::Os) => {
            let lookup = spawn_blocking(move || os_lookup(&name, port));
            lookup.await.map_err(io::Error::other)?
        }
        (other, Netns::Emulated(host)) => resolve_on(&host, other),
        (other, Netns::Os) => resolve_literal(other),
    }
}

/// As [`resolve`], on the calling thread.
pub(crate) fn resolve_blocking(target: Unresolved) -> io::Result<Vec<SocketAddr>> {
    match (target, Netns::current()) {
        (Unresolved::Name(name, port), Netns::Os) => os_lookup(&name, port),
        (other, Netns::Emulated(host)) => resolve_on(&host, other),
        (other, Netns::Os) => resolve_literal(other),
    }
}

fn os_lookup(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(std::net::ToSocketAddrs::to_socket_addrs(&(name, port))?.collect())
}

fn resolve_on(host: &Machine, target: Unresolved) -> io::Result<Vec<SocketAddr>> {
    match target {
        Unresolved::Name(name, port) => {
            let localhost = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let ips = if name == "localhost" { Some(localhost) } else { host.lan.resolve(&name) };
            let ips = ips.ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("there is no host named {name} on this LAN"))
            })?;
            Ok(ips.into_iter().map(|ip| (ip, port).into()).collect())
        }
        other => resolve_literal(other),
    }
}

fn resolve_literal(target: Unresolved) -> io::Result<Vec<SocketAddr>> {
    match target {
        Unresolved::Addrs(addrs) => Ok(addrs),
        Unresolved::Name(text, _) | Unresolved::Invalid(text) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{text:?} is no socket address: it should read ADDRESS:PORT or NAME:PORT"),
        )),
    }
}

/// The first of `addrs` for which `open` succeeds, or the last error.
pub(crate) fn first_of<T>(addrs: Vec<SocketAddr>, mut open: impl FnMut(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = no_address();
    for addr in addrs {
        match open(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(crate) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
}

pub(crate) fn target_of(target: &impl ToSocketAddrs) -> Unresolved {
    target.target()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_and_nonsense_are_told_apart() {
        assert!(matches!("127.0.0.1:80".target(), Unresolved::Addrs(a) if a == ["127.0.0.1:80".parse().unwrap()]));
        assert!(matches!(("::1", 80).target(), Unresolved::Addrs(a) if a == ["[::1]:80".parse().unwrap()]));
        assert!(matches!("server:7000".target(), Unresolved::Name(name, 7000) if name == "server"));
        for nonsense in ["server", "server:", ":80", "server:99999", ""] {
            assert!(matches!(nonsense.target(), Unresolved::Invalid(_)), "{nonsense:?}");
        }
    }
}
