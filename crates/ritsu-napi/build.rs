//! Gives the linker what an addon needs: Node-API and libuv symbols stay open and are bound when Node loads the library.
fn main() {
    napi_build::setup();
}
