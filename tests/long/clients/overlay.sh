#!/bin/bash
# Run a command where the file system is an overlay, and what it installs and writes is gone afterwards.
#   unshare --mount --pid --fork --kill-child overlay.sh FOLDER "DEBIAN PACKAGES" "PIP" "NPM" COMMAND …
# FOLDER is empty and takes what is written; the network is this machine's.
set -eu
folder=$1 debian=$2 pip=$3 npm=$4
shift 4
here=$PWD
mkdir -p "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
mount -t proc proc "$folder/root/proc"
mount --rbind /dev "$folder/root/dev"
# No package may start its service: the scripts start what they need.
printf '#!/bin/sh\nexit 101\n' > "$folder/root/usr/sbin/policy-rc.d"
chmod 755 "$folder/root/usr/sbin/policy-rc.d"
install() {
    cd "$here"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # lists of words
    [ -z "$debian" ] || apt-get install -y -qq --no-install-recommends $debian
    [ -z "$pip" ] || { python3 -m venv venv && venv/bin/pip install -q $pip; }
    [ -z "$npm" ] || npm install --silent --no-fund --no-audit $npm
}
export -f install
export debian pip npm here
# Without the clients' environment: HOME is the script's, and pip's and npm's settings are the machine's.
chroot "$folder/root" env HOME=/root PYTHONPATH= bash -eu -c install > "$folder/installed" 2>&1 ||
    { tail -5 "$folder/installed"; exit 99; }
exec chroot "$folder/root" bash -eu -c 'cd "$here" && exec "$@"' run "$@"
