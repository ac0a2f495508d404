#!/bin/bash
# Prints the Debian mirror to build from: $AMIFEND_LAB_MIRROR, or the first URI of a Debian archive in this machine's apt sources,
# one-line and deb822 format alike. Other archives (security, third parties) are passed over: a Debian archive is one whose path
# ends in /debian.
set -euo pipefail

if [[ -n ${AMIFEND_LAB_MIRROR:-} ]]; then
	echo "$AMIFEND_LAB_MIRROR"
	exit
fi
mapfile -t uris < <(
	find /etc/apt/sources.list.d -name '*.sources' -exec sed -n 's/^URIs:[[:space:]]*//Ip' {} + 2>/dev/null | tr -s '[:space:]' '\n'
	find /etc/apt/sources.list /etc/apt/sources.list.d -name '*.list' -exec \
		sed -nE 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' {} + 2>/dev/null
)
for u in "${uris[@]}"; do
	if [[ $u == mirror+file:* ]]; then # a file that lists mirrors, as on Debian's cloud images
		u=${u#mirror+file:}
		u=$(grep -m 1 -oE 'https?://[^[:space:]]+' "${u#//}") || continue
	fi
	if [[ $u =~ ^https?://.*/debian/?$ ]]; then
		echo "$u"
		exit
	fi
done
echo "no Debian mirror in /etc/apt: set AMIFEND_LAB_MIRROR to one (the URI that ends in /debian)" >&2
exit 1
