//! Sockets: how they are made, and what can be asked of them and set. All of it synchronous, since none of these calls can block;
//! everything that can (connect, accept, bytes) is an op.
//!
//! No state of its own: a socket made here belongs to its op until the op has succeeded, and then to the descriptor table. Called by the
//! proactor (making) and by its users (options).

use crate::address::Address;
use crate::buffer::{socket_address, socket_address_bytes};
use crate::descriptor::DescriptorId;
use crate::proactor::Proactor;
use crate::ring::duplicate;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::fs::File;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What is set on a socket before it is bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Several sockets may have the address and share what comes in (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// An IPv6 socket leaves IPv4 alone (`IPV6_V6ONLY`).
    pub ipv6_only: bool,
    /// The address may be in use (`SO_REUSEADDR`). A stream socket that listens has it anyway.
    pub reuse_address: bool,
}

/// An option of a socket (`socket(7)`, `tcp(7)`, `ip(7)`, `ipv6(7)`), by the number that the boundary knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum SocketOption {
    /// `TCP_NODELAY`: 0 or 1.
    NoDelay = 0,
    /// `SO_KEEPALIVE`: 0 or 1.
    KeepAlive = 1,
    /// `TCP_KEEPIDLE`: seconds before the first probe.
    KeepAliveDelay = 2,
    /// `SO_LINGER`: seconds; -1 is off, 0 resets the connection at the close.
    Linger = 3,
    /// `SO_RCVBUF`: bytes. The kernel doubles what is set.
    ReceiveBuffer = 4,
    /// `SO_SNDBUF`: bytes. The kernel doubles what is set.
    SendBuffer = 5,
    /// `SO_BROADCAST`: 0 or 1.
    Broadcast = 6,
    /// `IP_TTL`, or `IPV6_UNICAST_HOPS` on an IPv6 socket.
    TimeToLive = 7,
    /// `IP_MULTICAST_TTL`, or `IPV6_MULTICAST_HOPS`.
    MulticastTimeToLive = 8,
    /// `IP_MULTICAST_LOOP`, or `IPV6_MULTICAST_LOOP`: 0 or 1.
    MulticastLoopback = 9,
    /// `SO_ERROR`: the errno that waits, positive, or 0; asking clears it. Cannot be set.
    Error = 10,
    /// `IP_MULTICAST_IF`, or `IPV6_MULTICAST_IF`: the index of an interface; 0 is the kernel's choice.
    MulticastInterface = 11,
}

impl SocketOption {
    const ALL: [Self; 12] = [
        Self::NoDelay,
        Self::KeepAlive,
        Self::KeepAliveDelay,
        Self::Linger,
        Self::ReceiveBuffer,
        Self::SendBuffer,
        Self::Broadcast,
        Self::TimeToLive,
        Self::MulticastTimeToLive,
        Self::MulticastLoopback,
        Self::Error,
        Self::MulticastInterface,
    ];

    /// The option of this number.
    ///
    /// ```
    /// assert_eq!(ritsu::SocketOption::from_number(3), Some(ritsu::SocketOption::Linger));
    /// assert_eq!(ritsu::SocketOption::from_number(12), None);
    /// ```
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|option| *option as u32 == number)
    }
}

/// A stream socket that is about to connect. The error is an errno.
pub(crate) fn connecting(address: &Address, local: Option<&Address>) -> Result<File, i32> {
    let socket = make(address, SocketType::STREAM)?;
    if let Some(local) = local {
        reuse_address(&socket, local)?;
        bind(&socket, local)?;
    }
    Ok(socket.into())
}

/// A stream socket that listens. The error is an errno.
pub(crate) fn listening(address: &Address, backlog: i32, options: SocketOptions) -> Result<File, i32> {
    let socket = make(address, SocketType::STREAM)?;
    reuse_address(&socket, address)?;
    prepare(&socket, address, options)?;
    bind(&socket, address)?;
    net::listen(&socket, backlog).map_err(Errno::raw_os_error)?;
    Ok(socket.into())
}

/// A datagram socket. The error is an errno.
pub(crate) fn bound(address: &Address, peer: Option<&Address>, options: SocketOptions) -> Result<File, i32> {
    let socket = make(address, SocketType::DGRAM)?;
    prepare(&socket, address, options)?;
    bind(&socket, address)?;
    if let Some(peer) = peer {
        // Only remembers the address; nothing is sent.
        net::connect(&socket, &socket_address(&peer.encode())).map_err(Errno::raw_os_error)?;
    }
    Ok(socket.into())
}

/// Blocking: only then does the ring wait for it by itself, instead of answering `-EAGAIN`.
fn make(address: &Address, kind: SocketType) -> Result<OwnedFd, i32> {
    net::socket_with(address.family(), kind, SocketFlags::CLOEXEC, None).map_err(Errno::raw_os_error)
}

fn bind(socket: &OwnedFd, address: &Address) -> Result<(), i32> {
    net::bind(socket, &socket_address(&address.encode())).map_err(Errno::raw_os_error)
}

/// Connections of an earlier socket that are not quite over do not keep the address; as libuv has it.
fn reuse_address(socket: &OwnedFd, address: &Address) -> Result<(), i32> {
    match address {
        Address::Internet(_) => sockopt::set_socket_reuseaddr(socket, true).map_err(Errno::raw_os_error),
        Address::Unix(_) => Ok(()),
    }
}

fn prepare(socket: &OwnedFd, address: &Address, options: SocketOptions) -> Result<(), i32> {
    let set = || {
        if options.reuse_address {
            sockopt::set_socket_reuseaddr(socket, true)?;
        }
        if options.reuse_port {
            sockopt::set_socket_reuseport(socket, true)?;
        }
        if let Address::Internet(SocketAddr::V6(_)) = address {
            sockopt::set_ipv6_v6only(socket, options.ipv6_only)?;
        }
        Ok(())
    };
    set().map_err(Errno::raw_os_error)
}

/// `shutdown(2)` for kernels whose ring cannot do it. Gives 0 or a negative errno.
pub(crate) fn shut_down(socket: &File, how: Shutdown) -> i32 {
    let how = match how {
        Shutdown::Read => net::Shutdown::Read,
        Shutdown::Write => net::Shutdown::Write,
        Shutdown::Both => net::Shutdown::Both,
    };
    net::shutdown(socket, how).map_or_else(|error| -error.raw_os_error(), |()| 0)
}

impl Proactor {
    /// Takes over a file that was opened elsewhere (a pipe, a socket), to be closed by [`Op::Close`](crate::Op::Close) or with the
    /// proactor.
    ///
    /// # Errors
    ///
    /// The file comes back if the table is full (2^20 - 1 files) or the proactor is closed.
    pub fn adopt(&mut self, file: OwnedFd) -> Result<DescriptorId, OwnedFd> {
        if self.closed {
            return Err(file);
        }
        self.descriptors.insert(File::from(file)).map_err(OwnedFd::from)
    }

    /// Takes in a file that somebody else goes on owning, under a second integer of its own (`F_DUPFD_CLOEXEC`): closing one leaves the
    /// other alone. Gives the descriptor and the new integer (to be shown, not to be closed).
    ///
    /// # Errors
    ///
    /// An errno, positive: `EBADF` for an integer that is no open file, `EMFILE` without room for another.
    pub fn adopt_duplicate(&mut self, file: RawFd) -> Result<(DescriptorId, RawFd), i32> {
        let file = duplicate(file)?;
        let integer = file.as_raw_fd();
        self.adopt(file).map(|descriptor| (descriptor, integer)).map_err(|_closed_here| libc::EMFILE)
    }

    /// The address of a socket, or of its peer (`getsockname(2)`, `getpeername(2)`).
    ///
    /// # Errors
    ///
    /// An errno, positive: `EBADF`, `ENOTSOCK`, `ENOTCONN`; `EAFNOSUPPORT` for a socket of another kind than internet or Unix.
    pub fn address(&self, descriptor: DescriptorId, peer: bool) -> Result<Address, i32> {
        let socket = self.socket(descriptor)?;
        let address =
            if peer { net::getpeername(socket).map(|peer| peer.ok_or(libc::ENOTCONN)) } else { net::getsockname(socket).map(Ok) };
        let address = address.map_err(Errno::raw_os_error)??;
        Address::decode(&socket_address_bytes(&address)).ok_or(libc::EAFNOSUPPORT)
    }

    /// Sets an option of a socket (`setsockopt(2)`).
    ///
    /// # Errors
    ///
    /// An errno, positive: `EBADF`, `ENOTSOCK`, `EINVAL` for a value that cannot be.
    pub fn set_option(&self, descriptor: DescriptorId, option: SocketOption, value: i32) -> Result<(), i32> {
        let socket = self.socket(descriptor)?;
        let unsigned = u32::try_from(value).map_err(|_| Errno::INVAL);
        let seconds = unsigned.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let set = || match option {
            SocketOption::NoDelay => sockopt::set_tcp_nodelay(socket, value != 0),
            SocketOption::KeepAlive => sockopt::set_socket_keepalive(socket, value != 0),
            SocketOption::KeepAliveDelay => sockopt::set_tcp_keepidle(socket, seconds?),
            SocketOption::Linger => sockopt::set_socket_linger(socket, if value == -1 { None } else { Some(seconds?) }),
            SocketOption::ReceiveBuffer => sockopt::set_socket_recv_buffer_size(socket, unsigned? as usize),
            SocketOption::SendBuffer => sockopt::set_socket_send_buffer_size(socket, unsigned? as usize),
            SocketOption::Broadcast => sockopt::set_socket_broadcast(socket, value != 0),
            SocketOption::TimeToLive if is_version_6(socket)? => {
                sockopt::set_ipv6_unicast_hops(socket, Some(u8::try_from(value).map_err(|_| Errno::INVAL)?))
            }
            SocketOption::TimeToLive => sockopt::set_ip_ttl(socket, unsigned?),
            SocketOption::MulticastTimeToLive if is_version_6(socket)? => sockopt::set_ipv6_multicast_hops(socket, unsigned?),
            SocketOption::MulticastTimeToLive => sockopt::set_ip_multicast_ttl(socket, unsigned?),
            SocketOption::MulticastLoopback if is_version_6(socket)? => sockopt::set_ipv6_multicast_loop(socket, value != 0),
            SocketOption::MulticastLoopback => sockopt::set_ip_multicast_loop(socket, value != 0),
            SocketOption::Error => Err(Errno::NOPROTOOPT),
            SocketOption::MulticastInterface if is_version_6(socket)? => sockopt::set_ipv6_multicast_if(socket, unsigned?),
            SocketOption::MulticastInterface => {
                let any = Ipv4Addr::UNSPECIFIED;
                sockopt::set_ip_multicast_if_with_ifindex(socket, &any, &any, unsigned?)
            }
        };
        set().map_err(Errno::raw_os_error)
    }

    /// Asks for an option of a socket (`getsockopt(2)`).
    ///
    /// # Errors
    ///
    /// An errno, positive, as [`set_option`](Self::set_option).
    pub fn option(&self, descriptor: DescriptorId, option: SocketOption) -> Result<i32, i32> {
        let socket = self.socket(descriptor)?;
        let get = || match option {
            SocketOption::NoDelay => sockopt::tcp_nodelay(socket).map(i32::from),
            SocketOption::KeepAlive => sockopt::socket_keepalive(socket).map(i32::from),
            SocketOption::KeepAliveDelay => sockopt::tcp_keepidle(socket).map(|delay| delay.as_secs() as i32),
            SocketOption::Linger => sockopt::socket_linger(socket).map(|time| time.map_or(-1, |time| time.as_secs() as i32)),
            SocketOption::ReceiveBuffer => sockopt::socket_recv_buffer_size(socket).map(|size| size as i32),
            SocketOption::SendBuffer => sockopt::socket_send_buffer_size(socket).map(|size| size as i32),
            SocketOption::Broadcast => sockopt::socket_broadcast(socket).map(i32::from),
            SocketOption::TimeToLive if is_version_6(socket)? => sockopt::ipv6_unicast_hops(socket).map(i32::from),
            SocketOption::TimeToLive => sockopt::ip_ttl(socket).map(|hops| hops as i32),
            SocketOption::MulticastTimeToLive if is_version_6(socket)? => {
                sockopt::ipv6_multicast_hops(socket).map(|hops| hops as i32)
            }
            SocketOption::MulticastTimeToLive => sockopt::ip_multicast_ttl(socket).map(|hops| hops as i32),
            SocketOption::MulticastLoopback if is_version_6(socket)? => sockopt::ipv6_multicast_loop(socket).map(i32::from),
            SocketOption::MulticastLoopback => sockopt::ip_multicast_loop(socket).map(i32::from),
            SocketOption::Error => sockopt::socket_error(socket).map(|error| error.map_or_else(Errno::raw_os_error, |()| 0)),
            SocketOption::MulticastInterface if is_version_6(socket)? => {
                sockopt::ipv6_multicast_if(socket).map(|index| index as i32)
            }
            SocketOption::MulticastInterface => Err(Errno::NOPROTOOPT),
        };
        get().map_err(Errno::raw_os_error)
    }

    /// Joins or leaves a multicast group (`IP_ADD_MEMBERSHIP`, `IPV6_ADD_MEMBERSHIP` and their opposites), on the interface that `over`
    /// names: by its address for IPv4, by the scope of an address for IPv6. Ports do not matter.
    ///
    /// # Errors
    ///
    /// An errno, positive; `EINVAL` for addresses that are not of one family.
    pub fn membership(&self, descriptor: DescriptorId, join: bool, group: &Address, over: Option<&Address>) -> Result<(), i32> {
        let socket = self.socket(descriptor)?;
        let done = match (group, over) {
            (Address::Internet(SocketAddr::V4(group)), None | Some(Address::Internet(SocketAddr::V4(_)))) => {
                let interface = match over {
                    Some(Address::Internet(SocketAddr::V4(interface))) => *interface.ip(),
                    _ => Ipv4Addr::UNSPECIFIED,
                };
                let change = if join { sockopt::set_ip_add_membership } else { sockopt::set_ip_drop_membership };
                change(socket, group.ip(), &interface)
            }
            (Address::Internet(SocketAddr::V6(group)), None | Some(Address::Internet(SocketAddr::V6(_)))) => {
                let interface = match over {
                    Some(Address::Internet(SocketAddr::V6(interface))) => interface.scope_id(),
                    _ => group.scope_id(),
                };
                let change = if join { sockopt::set_ipv6_add_membership } else { sockopt::set_ipv6_drop_membership };
                change(socket, group.ip(), interface)
            }
            _ => Err(Errno::INVAL),
        };
        done.map_err(Errno::raw_os_error)
    }

    pub(crate) fn socket(&self, descriptor: DescriptorId) -> Result<&File, i32> {
        self.descriptors.file(descriptor).ok_or(libc::EBADF)
    }
}

fn is_version_6(socket: &File) -> rustix::io::Result<bool> {
    Ok(sockopt::socket_domain(socket)? == AddressFamily::INET6)
}
