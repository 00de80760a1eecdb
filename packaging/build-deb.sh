#!/bin/bash
# Builds natgate_VERSION-1_ARCH.deb from a checkout that is built (npm ci), for this machine's architecture:
#
#     packaging/build-deb.sh [FOLDER]        FOLDER: where the package goes, default .
#
# Prints the package's path. Needs dpkg-deb; strip and man pages need nothing more than the checkout.
set -euo pipefail
export LC_ALL=C
umask 022
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$(mkdir -p "${1:-.}" && cd "${1:-.}" && pwd)
version=$(node -p "require('$root/package.json').version")
# Everything in the package carries the date of what it is made from, so that the same tree makes the same package.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/package.json")}

if ! command -v dpkg-deb >/dev/null; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo 'build-deb: dpkg-deb is missing: apt-get install dpkg' >&2; exit 1; }
  { apt-get install -y -q --no-install-recommends dpkg || { apt-get update -q && apt-get install -y -q --no-install-recommends dpkg; }; } >&2
fi
addon=$root/native/build/Release/natgate.node
for needed in "$root/dist/cli/main.js" "$addon"; do
  [ -e "$needed" ] || { echo "build-deb: $needed is missing: npm ci builds it" >&2; exit 1; }
done
maintainer="${DEBFULLNAME:-natgate maintainers} <${DEBEMAIL:-maintainers@natgate.example.org}>"
architecture=$(dpkg --print-architecture)

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
lib=$stage/usr/lib/natgate
doc=$stage/usr/share/doc/natgate
mkdir -p "$stage/DEBIAN" "$lib/native/build/Release" "$lib/packaging" "$doc" "$stage/usr/bin" "$stage"/usr/share/man/man{1,5} \
  "$stage/lib/systemd/system" "$stage/usr/lib/sysusers.d" "$stage/usr/share/bash-completion/completions" \
  "$stage/usr/share/zsh/vendor-completions" "$stage/etc/natgate"

# natgate, without what only a debugger or a compiler reads.
tar -c -C "$root" --exclude='*.map' --exclude='*.d.ts' dist | tar -x -C "$lib"
cp "$root/package.json" "$lib/"
cp "$root/packaging/natgate.service" "$lib/packaging/"
cp "$addon" "$lib/native/build/Release/"
if command -v strip >/dev/null; then strip --strip-unneeded "$lib/native/build/Release/natgate.node"; fi

# The packages that it runs with, as the lock file has them: no network is needed.
node "$root/packaging/production-modules.js" "$root" |
  tar -c -C "$root" --exclude='*.ts' --exclude='*.cts' --exclude='*.mts' --exclude='*.map' --exclude='*.md' -T - | tar -x -C "$lib"
find "$lib/node_modules" -type f -name '.*' -delete

printf '#!/bin/sh\nexec /usr/bin/node /usr/lib/natgate/dist/cli/main.js "$@"\n' >"$stage/usr/bin/natgate"
chmod 755 "$stage/usr/bin/natgate"

natgate() { node "$root/dist/cli/main.js" "$@"; }
# The units and the account as `natgate install` writes them, and its first configuration as the example.
node --input-type=module -e "
  import { writeFileSync } from 'node:fs';
  const service = '$root/dist/gateway/service/';
  const { unitText, ACCOUNT } = await import(service + 'unit.js');
  const { UNITS } = await import(service + 'layout.js');
  const { firstConfig } = await import(service + 'first-config.js');
  for (const unit of UNITS) writeFileSync('$stage/lib/systemd/system/' + unit, unitText(unit, ['/usr/bin/natgate']));
  writeFileSync('$stage/usr/lib/sysusers.d/natgate.conf', ACCOUNT);
  writeFileSync('$stage/etc/natgate/natgate.yaml.example', firstConfig(['eth1'], 'eth0'));
"
echo /etc/natgate/natgate.yaml.example >"$stage/DEBIAN/conffiles"

page() { "$root/node_modules/.bin/tsx" "$root/packaging/man/main.ts" "$@" | gzip -9n; }
page natgate.1 "$root/dist/cli/main.js" >"$stage/usr/share/man/man1/natgate.1.gz"
page natgate.yaml.5 >"$stage/usr/share/man/man5/natgate.yaml.5.gz"
SHELL=/bin/bash natgate completion >"$stage/usr/share/bash-completion/completions/natgate"
SHELL=/bin/zsh natgate completion >"$stage/usr/share/zsh/vendor-completions/_natgate"

# What comes with it, and under which licence.
{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: natgate\n\n'
  printf 'Files: *\nCopyright: the authors of natgate\nLicense: Apache-2.0\n'
  node "$root/packaging/production-modules.js" "$root" --copyright
  printf '\nLicense: Apache-2.0\n On Debian systems, the text of this licence is in /usr/share/common-licenses/Apache-2.0.\n'
} >"$doc/copyright"
cp "$root/packaging/grafana/natgate.json" "$doc/natgate-grafana.json"
cp "$root/packaging/prometheus/natgate.rules.yml" "$doc/"
gzip -9nc "$root/CHANGELOG.md" >"$doc/changelog.gz"
gzip -9n >"$doc/changelog.Debian.gz" <<CHANGES
natgate ($version-1) unstable; urgency=medium

  * Package of natgate $version; what is new in it: changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGES

cp "$root"/packaging/debian/{postinst,prerm,postrm} "$stage/DEBIAN/"
chmod 755 "$stage"/DEBIAN/{postinst,prerm,postrm}
find "$stage" -type d -exec chmod 755 {} +
find "$stage" -type f ! -perm -u+x -exec chmod 644 {} +
find "$lib" -type f -exec chmod 644 {} +
find "$lib" -type f -exec awk 'FNR == 1 && /^#!/ { print FILENAME } { nextfile }' {} + | xargs -d '\n' chmod 755
(cd "$stage" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort | xargs -d '\n' md5sum >DEBIAN/md5sums)
cat >"$stage/DEBIAN/control" <<CONTROL
Package: natgate
Version: $version-1
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f1)
Depends: nodejs (>= 20.19), libc6 (>= 2.31)
Recommends: systemd
Section: net
Priority: optional
Description: NAT gateway in user space, without netfilter
 Hosts of private networks reach the internet by the address of a public
 interface: masquerading, forwards, 1:1 addresses, address pools, application
 helpers, and connection tracking as netfilter does it. Small eBPF programs
 steer packets to an unprivileged process; the kernel forwards nothing.
CONTROL
find "$stage" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$target/natgate_${version}-1_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$stage" "$package" >/dev/null
echo "$package"
