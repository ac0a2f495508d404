package config

import (
	"fmt"
	"time"
)

// rawConfig and the structs below it have the form of the file. config.toml.example documents the
// keys.
type rawConfig struct {
	Servers  []rawServer `toml:"server"`
	Policy   rawPolicy   `toml:"policy"`
	Allow    rawAllow    `toml:"allow"`
	Deny     rawDeny     `toml:"deny"`
	Firewall rawFirewall `toml:"firewall"`
	Control  rawControl  `toml:"control"`
	State    rawState    `toml:"state"`
	Log      rawLog      `toml:"log"`
	Metrics  rawMetrics  `toml:"metrics"`
	Notify   []rawTarget `toml:"notify"`
	Geo      rawGeo      `toml:"geo"`
	Report   rawReport   `toml:"report"`
	Feeds    []rawFeed   `toml:"feed"`
	Sensor   rawSensor   `toml:"sensor"`
	Limiter  rawLimiter  `toml:"limiter"`

	serverGiven bool // true even if Servers could not be read
}

type rawServer struct {
	Name       value[string]   `toml:"name"`
	Address    value[string]   `toml:"address"`
	Addresses  value[[]string] `toml:"addresses"`
	Username   value[string]   `toml:"username"`
	Secret     value[string]   `toml:"secret"`
	SecretFile value[string]   `toml:"secret_file"`
	TLS        *rawTLS         `toml:"tls"`
}

type rawTLS struct {
	CAFile             value[string] `toml:"ca_file"`
	ServerName         value[string] `toml:"server_name"`
	Fingerprint        value[string] `toml:"fingerprint"`
	InsecureSkipVerify value[bool]   `toml:"insecure_skip_verify"`
}

type rawPolicy struct {
	Threshold   value[float64]            `toml:"threshold"`
	HalfLife    value[time.Duration]      `toml:"half_life"`
	BanTime     value[time.Duration]      `toml:"ban_time"`
	BanGrowth   value[float64]            `toml:"ban_growth"`
	BanMax      value[time.Duration]      `toml:"ban_max"`
	ProofWindow value[time.Duration]      `toml:"proof_window"`
	Observe     value[bool]               `toml:"observe"`
	Weights     map[string]value[float64] `toml:"weights"`

	ForgeableBansPerMinute value[int64]           `toml:"forgeable_bans_per_minute"`
	BanProvedGuessers      value[bool]            `toml:"ban_proved_guessers"`
	BanSharedSources       value[bool]            `toml:"ban_shared_sources"`
	CanaryAccounts         value[[]string]        `toml:"canary_accounts"`
	MaxSources             value[int64]           `toml:"max_sources"`
	Rules                  map[string]value[bool] `toml:"rules"`
}

type rawAllow struct {
	Prefixes value[[]string] `toml:"prefixes"`
	Names    value[[]string] `toml:"names"`
}

type rawDeny struct {
	Prefixes value[[]string] `toml:"prefixes"`
	Files    value[[]string] `toml:"files"`
}

type rawFirewall struct {
	Backend  value[string] `toml:"backend"`
	Table    value[string] `toml:"table"`
	SIPPorts value[ports]  `toml:"sip_ports"`
	WSPorts  value[ports]  `toml:"ws_ports"`
	MaxBans  value[int64]  `toml:"max_bans"`
}

type rawSensor struct {
	Enabled    value[bool]  `toml:"enabled"`
	NFLOGGroup value[int64] `toml:"nflog_group"`
}

type rawLimiter struct {
	Mode               value[string] `toml:"mode"`
	PerMinute          value[int64]  `toml:"per_minute"`
	Burst              value[int64]  `toml:"burst"`
	StrangersPerSecond value[int64]  `toml:"strangers_per_second"`
	StrangersBurst     value[int64]  `toml:"strangers_burst"`
}

type rawControl struct {
	Socket     value[string] `toml:"socket"`
	ReadGroup  value[string] `toml:"read_group"`
	AdminGroup value[string] `toml:"admin_group"`
}

type rawState struct {
	Directory value[string]        `toml:"directory"`
	Retain    value[time.Duration] `toml:"retain"`
	MaxSizeMB value[int64]         `toml:"max_size_mb"`
}

type rawTarget struct {
	Name        value[string]        `toml:"name"`
	URL         value[string]        `toml:"url"`
	URLFile     value[string]        `toml:"url_file"`
	Secret      value[string]        `toml:"secret"`
	SecretFile  value[string]        `toml:"secret_file"`
	Kinds       value[[]string]      `toml:"kinds"`
	MinSeverity value[string]        `toml:"min_severity"`
	QuietHours  value[string]        `toml:"quiet_hours"`
	Digest      value[time.Duration] `toml:"digest"`
	PerHour     value[int64]         `toml:"max_per_hour"`
}

type rawGeo struct {
	Files      value[[]string] `toml:"files"`
	ReverseDNS value[bool]     `toml:"reverse_dns"`
	Expected   value[[]string] `toml:"expected_countries"`
}

type rawReport struct {
	Weekly value[string] `toml:"weekly"`
}

type rawFeed struct {
	Name    value[string]        `toml:"name"`
	Source  value[string]        `toml:"source"`
	URL     value[string]        `toml:"url"`
	URLFile value[string]        `toml:"url_file"`
	File    value[string]        `toml:"file"`
	KeyFile value[string]        `toml:"key_file"`
	CAFile  value[string]        `toml:"ca_file"`
	Every   value[time.Duration] `toml:"every"`
}

type rawLog struct {
	Level  value[string] `toml:"level"`
	Format value[string] `toml:"format"`
}

type rawMetrics struct {
	Listen       value[string] `toml:"listen"`
	Username     value[string] `toml:"username"`
	PasswordFile value[string] `toml:"password_file"`
	CertFile     value[string] `toml:"cert_file"`
	KeyFile      value[string] `toml:"key_file"`
}

// ports is a list of port ranges. A single port may also be written as a number.
type ports []string

// value is the value of one key. It records a wrong type instead of returning an error, which would
// stop the decoder at the first one.
type value[T any] struct {
	v     T
	set   bool
	wrong string // why the value is not a T
}

// UnmarshalTOML implements toml.Unmarshaler. It never fails.
func (f *value[T]) UnmarshalTOML(data any) error {
	f.set = true
	switch p := any(&f.v).(type) {
	case *string:
		f.wrong = assign(p, data, `a text in quotes, like "…"`)
	case *bool:
		f.wrong = assign(p, data, "true or false, without quotes")
	case *int64:
		f.wrong = assign(p, data, "a whole number, without quotes")
	case *float64:
		if n, ok := data.(int64); ok {
			data = float64(n)
		}
		f.wrong = assign(p, data, "a number, without quotes")
	case *time.Duration:
		f.wrong = assignDuration(p, data)
	case *[]string:
		f.wrong = assignTexts(p, data)
	case *ports:
		f.wrong = assignPorts(p, data)
	default:
		// The type of a new key has no case here. Every test of the package would fail.
		panic(fmt.Sprintf("config: no decoder for %T", f.v))
	}

	return nil
}

// get returns the value of key. It returns def if the key is absent, or if its type is wrong, which
// it records as a problem.
func get[T any](l *loader, key string, f value[T], def T) T {
	if !f.set {
		return def
	}
	if f.wrong != "" {
		l.problem(key, "%s", f.wrong)
		return def
	}
	return f.v
}

// assign stores data if it is a T. It returns "", or what is wrong with it, without the data: it
// may be a secret.
func assign[T any](p *T, data any, want string) string {
	v, ok := data.(T)
	if !ok {
		return "is " + typeName(data) + "; write " + want
	}
	*p = v
	return ""
}

// assignTexts stores a list of texts. It returns "", or what is wrong.
func assignTexts(p *[]string, data any) string {
	const want = `write a list of texts, like ["…", "…"]`
	list, ok := data.([]any)
	if !ok {
		return "is " + typeName(data) + "; " + want
	}

	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return "holds " + typeName(e) + "; " + want
		}
		*p = append(*p, s)
	}

	return ""
}

// assignPorts stores a list of port ranges. It returns "", or what is wrong.
func assignPorts(p *ports, data any) string {
	const want = `write a list, like ["5060-5061", "4569/udp"]`
	list, ok := data.([]any)
	if !ok {
		return "is " + typeName(data) + "; " + want
	}

	for _, e := range list {
		switch e := e.(type) {
		case string:
			*p = append(*p, e)
		case int64:
			*p = append(*p, fmt.Sprint(e))
		default:
			return "holds " + typeName(e) + "; " + want
		}
	}

	return ""
}

// typeName returns the TOML type of data in the words of the errors.
func typeName(data any) string {
	switch data.(type) {
	case string:
		return "a text"
	case int64, float64:
		return "a number"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any, []map[string]any:
		return "a table"
	default:
		return "a date"
	}
}
