use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Faults of the proxy; chances are for each piece read from a socket.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// The connection is closed and the piece, a request or a reply, is lost.
    pub cut: f64,
    /// Requests still reach the server; this reply and all later ones on the connection are lost.
    pub swallow: f64,
    /// The piece waits up to `delay_max`.
    pub delay: f64,
    pub delay_max: Duration,
    /// New connections are closed at once.
    pub refuse: f64,
}

/// A TCP proxy before a server on this machine.
pub struct Proxy {
    pub port: u16,
    weather: Arc<Mutex<Weather>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Request,
    Reply,
}

impl Proxy {
    /// The thread ends with the process.
    pub fn before(server: u16, dice: &mut StdRng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let weather = Arc::new(Mutex::new(Weather::default()));
        let shared = Arc::clone(&weather);
        let mut dice = StdRng::seed_from_u64(dice.random());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let refuse = shared.lock().unwrap().refuse;
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                if dice.random_bool(refuse) {
                    continue;
                }
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                for (source, target, way) in [(client, to, Way::Request), (server, from, Way::Reply)] {
                    let weather = Arc::clone(&shared);
                    let dice = StdRng::seed_from_u64(dice.random());
                    std::thread::spawn(move || pass(source, target, way, &weather, dice));
                }
            }
        });
        Self { port, weather }
    }

    pub fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

fn pass(mut source: TcpStream, mut target: TcpStream, way: Way, weather: &Mutex<Weather>, mut dice: StdRng) {
    let mut piece = vec![0; 64 * 1024];
    let mut swallows = false;
    while let Ok(length @ 1..) = source.read(&mut piece) {
        let now = *weather.lock().unwrap();
        if dice.random_bool(now.cut) {
            break;
        }
        if dice.random_bool(now.delay) {
            std::thread::sleep(now.delay_max.mul_f64(dice.random()));
        }
        swallows |= way == Way::Reply && dice.random_bool(now.swallow);
        if !swallows && target.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = source.shutdown(Shutdown::Both);
    let _ = target.shutdown(Shutdown::Both);
}
