package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// decode reads src into the raw structs, and reports whether it is TOML. It records syntax errors,
// unknown keys and tables of the wrong shape. It reads all sections that it can, so that one run
// reports the problems of all.
func (l *loader) decode(src []byte) (rawConfig, bool) {
	var (
		raw rawConfig
		top struct {
			Server   toml.Primitive `toml:"server"`
			Policy   toml.Primitive `toml:"policy"`
			Allow    toml.Primitive `toml:"allow"`
			Deny     toml.Primitive `toml:"deny"`
			Firewall toml.Primitive `toml:"firewall"`
			Control  toml.Primitive `toml:"control"`
			State    toml.Primitive `toml:"state"`
			Log      toml.Primitive `toml:"log"`
			Metrics  toml.Primitive `toml:"metrics"`
			Notify   toml.Primitive `toml:"notify"`
			Geo      toml.Primitive `toml:"geo"`
			Report   toml.Primitive `toml:"report"`
			Feed     toml.Primitive `toml:"feed"`
			Sensor   toml.Primitive `toml:"sensor"`
			Limiter  toml.Primitive `toml:"limiter"`
		}
	)

	// The sections are decoded one by one, so that a mistake in one does not hide those in the
	// next.
	md, err := toml.Decode(string(src), &top)
	if err != nil {
		l.problems = append(l.problems, syntaxProblem(src, err))
		return raw, false
	}

	l.lines = locate(src, md.Keys())
	known := schema()
	l.unknownKeys(md.Keys(), known)

	for _, s := range []struct {
		name string
		from toml.Primitive
		to   any
	}{
		{"server", top.Server, &raw.Servers},
		{"policy", top.Policy, &raw.Policy},
		{"allow", top.Allow, &raw.Allow},
		{"deny", top.Deny, &raw.Deny},
		{"firewall", top.Firewall, &raw.Firewall},
		{"control", top.Control, &raw.Control},
		{"state", top.State, &raw.State},
		{"log", top.Log, &raw.Log},
		{"metrics", top.Metrics, &raw.Metrics},
		{"notify", top.Notify, &raw.Notify},
		{"geo", top.Geo, &raw.Geo},
		{"report", top.Report, &raw.Report},
		{"feed", top.Feed, &raw.Feeds},
		{"sensor", top.Sensor, &raw.Sensor},
		{"limiter", top.Limiter, &raw.Limiter},
	} {
		if !md.IsDefined(s.name) {
			continue
		}
		if !l.shape(&md, s.name) {
			raw.serverGiven = raw.serverGiven || s.name == "server"
			continue
		}

		if err := md.PrimitiveDecode(s.from, s.to); err != nil {
			l.notATable(s.name, &raw)
		}
	}

	// A [[server]] that could not be read is not missing. An empty list of servers is.
	raw.serverGiven = raw.serverGiven || len(raw.Servers) > 0
	return raw, true
}

// notATable reports a section in which something else stands in the place of a table: in that of a
// target, of a feed, of a server, or of its [server.tls]. Its keys were not read, and are not missing.
func (l *loader) notATable(section string, raw *rawConfig) {
	switch section {
	case "notify":
		l.problem(section, "holds something that is not a table; write each target below a "+
			"header [[notify]]")
		raw.Notify = nil
	case "feed":
		l.problem(section, "holds something that is not a table; write each feed below a "+
			"header [[feed]]")
		raw.Feeds = nil
	default:
		l.problem(section, "holds something that is not a table; write each server below a "+
			"header [[server]], and its TLS below [server.tls]")
		raw.Servers = nil
		raw.serverGiven = raw.serverGiven || section == "server"
	}
}

// tables reads the tables of a section, at most most. A name that two of them have is a problem; ""
// is none.
func tables[R, T any](
	l *loader, section string, most int, raw []R, read func(key string, r R) T, name func(T) string,
) (out []T) {
	if len(raw) > most {
		l.problem(section, "stands there %d times; %d are possible", len(raw), most)
		return nil
	}

	for i, r := range raw {
		key := fmt.Sprintf("%s[%d]", section, i+1)
		t := read(key, r)
		same := func(o T) bool { return name(t) != "" && name(o) == name(t) }
		if slices.ContainsFunc(out, same) {
			l.problem(key+".name", "is that of another [[%s]], too; give each a name = \"…\" of its own",
				section)
		}
		out = append(out, t)
	}
	return out
}

// isList reports whether a section is a list of tables.
func isList(section string) bool {
	return section == "server" || section == "notify" || section == "feed"
}

// shape reports whether a section is a table, or one of isList a list of tables, and records a problem
// if not.
func (l *loader) shape(md *toml.MetaData, section string) bool {
	got := md.Type(section) // "" for a table that only its sub-tables name

	// The TOML library accepts any value for a map and leaves the map empty.
	for _, table := range []string{"weights", "rules"} {
		if sub := md.Type("policy", table); section == "policy" && sub != "" && sub != "Hash" {
			got = sub
			section = "policy." + table
		}
	}

	isTable := got == "Hash" || got == ""
	switch {
	case !isList(section) && isTable:
		return true
	case isList(section) && (got == "ArrayHash" || got == "Array"):
		return true

	// Each mistake about brackets has its own advice.
	case section == "server" && isTable:
		l.problem(section, "there may be several servers, so the header has two brackets; write "+
			"[[server]], and [server.tls] below it")
	case isList(section) && isTable:
		l.problem(section, "there may be several, so the header has two brackets; write [[%s]]", section)
	case isList(section):
		l.problem(section, "is not a table; write the header [[%s]], and its keys below it", section)
	default:
		l.problem(section, "is not a table; write the header [%s], and its keys below it", section)
	}

	return false
}

// syntaxProblem turns an error of the TOML parser into a Problem. The parser's message quotes the
// file, and any line may hold a secret. So the message is not shown. It only selects one of our
// texts.
func syntaxProblem(src []byte, err error) Problem {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return Problem{Text: "is not TOML"}
	}

	p := Problem{Line: pe.Position.Line}
	if m := definedTwice.FindStringSubmatch(pe.Message); m != nil {
		p.Text = twiceText(m[1])
		return p
	}

	// Quotes and backslashes stand in passwords more often than in other values.
	lines := strings.Split(string(src), "\n")
	if n := pe.Position.Line; n >= 1 && n <= len(lines) &&
		strings.Contains(lines[n-1]+pe.LastKey, "secret") {
		p.Text = `is not TOML; write secret = "…", with a backslash before each " or \ of the ` +
			"password, or secret = '…'"
		return p
	}

	p.Text = "is not TOML"
	for _, kind := range syntaxKinds() {
		if kind.message.MatchString(pe.Message) {
			p.Text += "; " + kind.text
			break
		}
	}
	return p
}

// syntaxKind is a kind of messages of the TOML parser, and our text for it.
type syntaxKind struct {
	message *regexp.Regexp
	text    string
}

// syntaxKinds returns the kinds of messages of github.com/BurntSushi/toml. The first one that
// matches counts.
func syntaxKinds() []syntaxKind {
	return []syntaxKind{
		// Characters that TOML does not allow as they stand.
		{
			regexp.MustCompile(`(?i)escape|hexadecimal digits`),
			`write a backslash as \\ in "…", or the text as '…'`,
		},
		{regexp.MustCompile(`UTF-8|UTF-16|NULL`), "save the file as UTF-8"},

		// A value, a list or a header without its end, or with more behind it.
		{
			regexp.MustCompile(`newlines|EOF; expected '"|EOF; expected "'`),
			"a text has no end: write its closing quote",
		},
		{
			regexp.MustCompile(`top-level item`),
			"there is more behind the value: delete it, or begin a comment with #",
		},
		{
			regexp.MustCompile(`comma|array terminator|inline table`),
			`write a list like ["…", "…"]`,
		},
		{
			regexp.MustCompile(`table name|table array|table separator|end table`),
			"write the header of a table like [policy], and that of a server as [[server]]",
		},

		// These words occur in the messages above too, so they come last.
		{
			regexp.MustCompile(`(?i)value|integer|float|digit|number|date|out of range`),
			`a text stands in quotes: "…"`,
		},
		{
			regexp.MustCompile(`'='|'\.'`),
			"write a line as key = value, or as the header of a table",
		},
	}
}

// definedTwice matches the TOML parser's message about a key or table that the file has twice.
var definedTwice = regexp.MustCompile(`^Key '([^']*)' has already been defined`)

// twiceText returns what to do about a key or table that the file has twice. This happens to users
// who paste a table into a file that has it already.
func twiceText(key string) string {
	// An unknown key may be a secret at the wrong place, so it is not named.
	if _, known := schema()[key]; !known {
		return "a key or a table stands there twice; delete one of the two"
	}

	if name, ok := strings.CutPrefix(key, "notify."); ok {
		return name + " stands twice in one [[notify]]; keep one of them, and begin each further " +
			"target with a header [[notify]]"
	}
	if name, ok := strings.CutPrefix(key, "feed."); ok {
		return name + " stands twice in one [[feed]]; keep one of them, and begin each further " +
			"feed with a header [[feed]]"
	}
	if name, ok := strings.CutPrefix(key, "server."); ok {
		return name + " stands twice in one [[server]]; keep one of them, and begin each further " +
			"server with a header [[server]]"
	}

	if strings.Contains(key, ".") {
		return key + " stands there twice; put all values into one, and delete the other"
	}
	return fmt.Sprintf("the table [%s] is there already; put the keys below this header into the "+
		"first [%[1]s], or delete the first one if this one has all its values", key)
}

// keys holds every key that a file may have, without the numbers of servers. The value is true for
// a table.
type keys map[string]bool

// schema returns the keys of the raw structs.
func schema() keys {
	out := keys{}
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for f := range t.Fields() {
			name := f.Tag.Get("toml")
			if name == "" {
				continue
			}

			// A pointer or a list has the keys of its elements.
			ft := f.Type
			for ft.Kind() == reflect.Pointer || ft.Kind() == reflect.Slice {
				ft = ft.Elem()
			}

			// The type value[T] is recognized by its first field. Any other struct is a table.
			isValue := ft.Kind() == reflect.Struct && ft.Field(0).Name == "v"
			out[prefix+name] = !isValue
			if !isValue && ft.Kind() == reflect.Struct {
				walk(ft, prefix+name+".")
			}
		}
	}

	walk(reflect.TypeFor[rawConfig](), "")
	return out
}
