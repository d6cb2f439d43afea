//! The real server, over HTTP.

#[cfg(test)]
#[cfg(unix)]
mod admin;
#[cfg(test)]
mod again;
#[cfg(test)]
mod client;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod http;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod running;
#[cfg(test)]
mod second_port;
#[cfg(test)]
mod signin;
#[cfg(test)]
mod stolen;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod uploads;
