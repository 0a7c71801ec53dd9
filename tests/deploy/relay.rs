use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A relay before a node: passes everything on, and records connections and requests.
pub struct Relay {
    pub address: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    pub fn before(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, memory, node) = (Arc::clone(&connections), Arc::clone(&requests), node.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(&node) else { continue };
                let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let memory = Arc::clone(&memory);
                std::thread::spawn(move || pass(from_client, to_server, |bytes| memory.lock().unwrap().extend(bytes)));
                std::thread::spawn(move || pass(server, client, |_| {}));
            }
        });
        Self { address, connections, requests }
    }

    /// Number of connections that were opened to the node.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// All requests since the last call, in lower case.
    pub fn take_requests(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.requests.lock().unwrap())).to_ascii_lowercase()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        see(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Either end may be gone already.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Passes requests on, and closes the connection in place of each answer.
pub fn swallowing(node: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let node = node.to_owned();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let Ok(mut server) = TcpStream::connect(&node) else { continue };
            std::thread::spawn(move || {
                let mut buffer = [0; 16 << 10];
                let Ok(read @ 1..) = client.read(&mut buffer) else { return };
                if server.write_all(&buffer[..read]).is_ok() {
                    let _ = server.read(&mut buffer);
                }
            });
        }
    });
    address
}
