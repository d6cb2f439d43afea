//! The real server, over HTTP.

#[cfg(test)]
mod client;
#[cfg(test)]
mod http;
#[cfg(test)]
#[cfg(unix)]
mod kill;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod running;
#[cfg(test)]
mod second_port;
#[cfg(test)]
mod stolen;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod uploads;
