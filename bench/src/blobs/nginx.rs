//! nginx, as Debian has it, with one process and nothing but files.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Target;
use crate::machine;

/// A server of files, gone when it is dropped.
pub(super) struct Nginx {
    child: Child,
    pub(super) target: Target,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.is_file())
}

impl Nginx {
    /// Serves `files`, with `sendfile` or without, and takes what is put below `/put/`. `None`: there is no nginx here.
    pub(super) fn start(
        core: Option<u32>,
        folder: &Path,
        (files, sendfile): (&Path, &str),
    ) -> Result<Option<Self>> {
        let Some(program) = program() else {
            return Ok(None);
        };
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let own = folder.join(format!("nginx-{sendfile}"));
        std::fs::create_dir_all(own.join("put"))?;
        let here = own.display();
        // As root its one process would be somebody else, who may not read what is the vault's.
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {here}/pid; error_log {here}/error;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; sendfile {sendfile}; tcp_nopush on; keepalive_requests 1000000;\n\
             client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;\n\
             uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi; client_max_body_size 1g;\n\
             server {{ listen 127.0.0.1:{port};\n\
             location / {{ root {}; }}\n\
             location /put/ {{ root {here}; dav_methods PUT; }} }} }}\n",
            files.display()
        );
        let path = own.join("nginx.conf");
        std::fs::write(&path, config)?;
        let child = machine::on(core, program)
            .arg("-e")
            .arg(own.join("error"))
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .spawn()
            .context("nginx")?;
        let target = Target {
            address: ([127, 0, 0, 1], port).into(),
            head: String::new(),
        };
        let mut nginx = Self { child, target };
        for _ in 0..100 {
            if std::net::TcpStream::connect(nginx.target.address).is_ok() {
                return Ok(Some(nginx));
            }
            if nginx.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = std::fs::read_to_string(own.join("error")).unwrap_or_default();
        bail!("nginx does not start: {said}")
    }

    pub(super) fn seconds(&self) -> Result<f64> {
        machine::seconds(self.child.id())
    }
}
