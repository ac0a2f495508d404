package control

import (
	"fmt"
	"strings"
)

// Origin holds the names of an address: whatever is known of it besides its number. All texts can
// be printed: they are in the form of [ami.Quote], without the quotes where it changed nothing.
type Origin struct {
	Host string `json:"host,omitempty"` // by reverse DNS
	// Host has the address, as a forward lookup shows. Otherwise Host is only what the owner of the
	// address claims, and may be any name.
	Confirmed bool   `json:"host_confirmed,omitempty"`
	Country   string `json:"country,omitempty"` // two letters (ISO 3166-1)
	ASN       uint32 `json:"asn,omitempty"`     // number of the network's autonomous system
	Network   string `json:"network,omitempty"` // who runs that network
}

// String returns the names as text, such as "DE, AS64500 Example GmbH, mail.example.com". It
// returns "" for nil.
func (o *Origin) String() string {
	if o == nil {
		return ""
	}

	parts := []string{}
	if o.Country != "" {
		parts = append(parts, o.Country)
	}
	if network := o.network(); network != "" {
		parts = append(parts, network)
	}
	switch {
	case o.Host != "" && o.Confirmed:
		parts = append(parts, o.Host)
	case o.Host != "":
		parts = append(parts, "claims to be "+o.Host)
	}
	return strings.Join(parts, ", ")
}

// Short returns the names in at most width characters, for a table: country and network, or else
// the host. A host that is not confirmed ends with "?". It returns "" for nil.
func (o *Origin) Short(width int) string {
	if o == nil {
		return ""
	}

	name := o.Network
	if name == "" && o.ASN != 0 {
		name = fmt.Sprintf("AS%d", o.ASN)
	}
	text := strings.TrimSpace(o.Country + " " + name)
	if text == "" {
		text = o.Host
		if text != "" && !o.Confirmed {
			return clip(text, width-1) + "?"
		}
	}
	return clip(text, width)
}

// clip returns at most width characters of a text, all of which are ASCII.
func clip(text string, width int) string {
	if len(text) <= width {
		return text
	}
	return strings.TrimRight(text[:width-1], " ") + "~"
}

// network returns the number and the name of the network.
func (o *Origin) network() string {
	if o.ASN == 0 {
		return o.Network
	}
	return strings.TrimSpace(fmt.Sprintf("AS%d %s", o.ASN, o.Network))
}
