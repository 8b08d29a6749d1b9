#!/bin/sh
# Install the Debian packages that are missing, where we may; otherwise say which they are and stop.
#   system_packages.sh run     what the program itself needs
#   system_packages.sh test    and what the tests make their disks with
set -eu
run="python3-venv libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 libarchive13 fonts-dejavu-core"
test="$run ntfs-3g e2fsprogs dosfstools exfatprogs xfsprogs apfsprogs mtools genisoimage qemu-utils ewf-tools sleuthkit hashdeep cryptsetup-bin fuse3 age poppler-utils"
[ "${1:-run}" = test ] && wanted=$test || wanted=$run
command -v dpkg-query >/dev/null 2>&1 || exit 0 # not Debian: the libraries are found, or missed, when they are loaded
missing=
for package in $wanted; do
    case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)" in
    *"ok installed"*) continue ;;
    esac
    # Python from elsewhere than Debian brings its own venv.
    [ "$package" = python3-venv ] && python3 -c 'import ensurepip, venv' 2>/dev/null && continue
    # Newer releases carry some libraries under a name with t64.
    case "$(dpkg-query -W -f '${Status}' "${package}t64" 2>/dev/null || true)" in
    *"ok installed"*) continue ;;
    esac
    missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else
    echo "These Debian packages are missing: install them with: sudo apt-get install$missing" >&2
    exit 1
fi
echo "Installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
if ! { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1; then
    echo "These Debian packages could not be installed: install them yourself with: apt-get install$missing" >&2
    exit 1
fi
