//! What is asked of sockets, and of files of others, at once and not through the ring: none of these calls can wait.
//!
//! Arguments are checked here for their shape; what they name is the core's to check. A system error is a result (`-errno`) and not
//! thrown: JavaScript makes the error, as it does for ops.

use napi::bindgen_prelude::{Either, JsValue, Unknown};
use ritsu::{Address, DescriptorId, SocketOption};

use super::js::Failure;
use super::{Bridge, count};
use crate::abi;

/// Bytes of an encoded address: header and the longest Unix name.
const ADDRESS_MAX: u32 = 8 + 108;

/// The most bytes of one send (Linux: `MAX_RW_COUNT`, page aligned).
const LENGTH_MAX: u64 = 0x7fff_f000;
/// A range may begin beyond 4 GiB; numbers of JavaScript are whole up to here.
const OFFSET_MAX: u64 = (1 << 53) - 1;

impl Bridge {
    /// `adopt(fd)`: a duplicate of a descriptor of somebody else's, as `[descriptor, fd]`.
    pub fn adopt(&self, fd: Unknown<'_>) -> Result<Either<Vec<u32>, i32>, Failure> {
        let fd = self.number(fd, "fd", 0, i32::MAX as u64)? as i32;
        self.with_proactor(|proactor| {
            Ok(match proactor.adopt_duplicate(fd) {
                Ok((descriptor, fd)) => Either::A(vec![descriptor.0, fd.cast_unsigned()]),
                Err(errno) => Either::B(-errno),
            })
        })
    }

    /// `address(descriptor, peer)`: the bytes of a socket's address.
    pub fn address(&self, descriptor: Unknown<'_>, peer: bool) -> Result<Either<Vec<u32>, i32>, Failure> {
        let descriptor = self.descriptor(descriptor)?;
        self.with_proactor(|proactor| {
            Ok(match proactor.address(descriptor, peer) {
                Ok(address) => Either::A(abi::encode_address(&address).into_iter().map(u32::from).collect()),
                Err(errno) => Either::B(-errno),
            })
        })
    }

    /// `setOption(descriptor, option, value)`: 0 or `-errno`.
    pub fn set_option(&self, descriptor: Unknown<'_>, option: Unknown<'_>, value: i32) -> Result<i32, Failure> {
        let (descriptor, option) = (self.descriptor(descriptor)?, self.option_number(option)?);
        self.with_proactor(|proactor| Ok(proactor.set_option(descriptor, option, value).map_or_else(|errno| -errno, |()| 0)))
    }

    /// `option(descriptor, option)`: its value or `-errno`.
    pub fn option(&self, descriptor: Unknown<'_>, option: Unknown<'_>) -> Result<i32, Failure> {
        let (descriptor, option) = (self.descriptor(descriptor)?, self.option_number(option)?);
        self.with_proactor(|proactor| Ok(proactor.option(descriptor, option).unwrap_or_else(|errno| -errno)))
    }

    /// `membership(descriptor, join, group, over)`: 0 or `-errno`.
    pub fn membership(
        &self,
        descriptor: Unknown<'_>,
        join: bool,
        group: Unknown<'_>,
        over: Option<Unknown<'_>>,
    ) -> Result<i32, Failure> {
        let descriptor = self.descriptor(descriptor)?;
        let group = self.address_argument(group, "group")?;
        let over = over.map(|over| self.address_argument(over, "over")).transpose()?;
        self.with_proactor(|proactor| {
            let done = proactor.membership(descriptor, join, &group, over.as_ref());
            Ok(done.map_or_else(|errno| -errno, |()| 0))
        })
    }

    /// `sendNow(descriptor, arrayBuffer, offset, length)`: how many bytes went, or `-errno`.
    pub fn send_now(
        &self,
        descriptor: Unknown<'_>,
        buffer: Unknown<'_>,
        offset: Unknown<'_>,
        length: Unknown<'_>,
    ) -> Result<i32, Failure> {
        let descriptor = self.descriptor(descriptor)?;
        let offset = self.number(offset, "offset", 0, OFFSET_MAX)? as usize;
        let length = self.number(length, "length", 1, LENGTH_MAX)? as usize;
        let memory = self.js.buffer_memory(buffer.raw())?;
        if offset + length > memory.length {
            count(&self.counters.faults);
            return Err(Failure::out_of_range("the range must lie within the ArrayBuffer"));
        }
        self.with_proactor(|proactor| {
            // SAFETY: it stays within the buffer, as was checked.
            let address = unsafe { memory.address.add(offset) };
            // SAFETY: the range lies within the buffer, which its value of the current scope keeps; no JavaScript runs before the call
            // returns, so nothing detaches it meanwhile.
            let sent = unsafe { proactor.send_now(descriptor, address, length) };
            Ok(sent.map_or_else(|errno| -errno, |bytes| i32::try_from(bytes).expect("no more than was asked for")))
        })
    }

    fn descriptor(&self, value: Unknown<'_>) -> Result<DescriptorId, Failure> {
        // Ops that JavaScript has queued, a close among them, come before the question.
        self.with_proactor(|proactor| {
            self.consume(proactor);
            Ok(())
        })?;
        Ok(DescriptorId(self.number(value, "descriptor", 0, u64::from(u32::MAX))? as u32))
    }

    fn option_number(&self, value: Unknown<'_>) -> Result<SocketOption, Failure> {
        let number = self.number(value, "option", 0, u64::from(u32::MAX))? as u32;
        SocketOption::from_number(number).ok_or_else(|| {
            count(&self.counters.faults);
            Failure::out_of_range(format!("option must be the number of a socket option, not {number}"))
        })
    }

    /// An address as the array of its bytes.
    fn address_argument(&self, value: Unknown<'_>, name: &str) -> Result<Address, Failure> {
        let elements = self.js.elements(value.raw(), name, ADDRESS_MAX)?;
        let bytes: Result<Vec<u8>, Failure> =
            elements.into_iter().map(|element| Ok(self.js.whole_number(element, name, 0, 255)? as u8)).collect();
        abi::decode_address(&bytes?).ok_or_else(|| Failure::out_of_range(format!("{name} must be an address")))
    }
}
