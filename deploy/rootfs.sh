#!/bin/sh
# Collects the root file system of the image: rootfs.sh BINARY FOLDER. Needs ldd, and no container engine.
set -eu
binary=$1
root=$2
mkdir -p "$root/usr/local/bin" "$root/etc/ssl/certs" "$root/tmp" "$root/data"
cp "$binary" "$root/usr/local/bin/all-docs"
chmod 755 "$root/usr/local/bin/all-docs"
# The libraries that the binary loads, and the loader.
ldd "$binary" | awk '$2 == "=>" && $3 ~ "^/" { print $3 } $1 ~ "^/" { print $1 }' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
# Without these, names of hosts are not looked up.
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
printf 'all-docs:x:65532:65532::/data:/sbin/nologin\n' > "$root/etc/passwd"
printf 'all-docs:x:65532:\n' > "$root/etc/group"
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi
chmod 1777 "$root/tmp"
if [ "$(id -u)" = 0 ]; then chown 65532:65532 "$root/data"; fi
