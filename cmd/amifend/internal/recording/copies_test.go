package recording

import "testing"

// TestCopies: a PBX that logs to `messages` and to `full` writes each line twice. Both files
// together count as one. Two equal lines in one file are two requests.
func TestCopies(t *testing.T) {
	const a, b = "198.51.100.7:5060", "198.51.100.8:5060"
	one := notice(1, a, "x", "c") + notice(2, a, "z", "d") + registration(3, b, "y")
	security := event(1.744, "InvalidAccountID", a, "x", "c") + chanSIP(3.2, b, "y")
	for name, test := range map[string]struct {
		files []string
		want  string
	}{
		"messages and full": {[]string{one, one}, "x@1 z@2 y@3"},
		"three of them":     {[]string{one, one, one}, "x@1 z@2 y@3"},
		"one is shorter":    {[]string{one, registration(3, b, "y")}, "x@1 z@2 y@3"},
		"twice in each": {
			[]string{one + registration(3, b, "y"), one + registration(3, b, "y")},
			"x@1 z@2 y@3 y@3",
		},
		"twice in one":              {[]string{one, one + registration(3, b, "y")}, "x@1 z@2 y@3 y@3"},
		"with the security channel": {[]string{one, one, security}, "x@1.744 z@2 y@3.2"},
		"the channel twice":         {[]string{security, one + security}, "x@1.744 z@2 y@3.2"},
		"rotated":                   {[]string{one, notice(9, a, "x", "e")}, "x@1 z@2 y@3 x@9"},
	} {
		var files []string
		for i, content := range test.files {
			files = append(files, write(t, string(rune('a'+i)), []byte(content)))
		}

		if got, err := play(t, files...); err != nil || got != test.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, test.want)
		}
	}
}

// TestRotatedFiles: the files that logrotate and Asterisk make of one log are one server.
func TestRotatedFiles(t *testing.T) {
	for name, want := range map[string]string{
		"/var/log/asterisk/full":             "/var/log/asterisk/full",
		"/var/log/asterisk/full.1":           "/var/log/asterisk/full",
		"/var/log/asterisk/full.12.gz":       "/var/log/asterisk/full",
		"/var/log/asterisk/full-20261123":    "/var/log/asterisk/full",
		"/var/log/asterisk/full-20261123.gz": "/var/log/asterisk/full",
		"/var/log/asterisk/full.2026-11-23":  "/var/log/asterisk/full",
		"full.log.2.bz2":                     "full.log",
		"pbx-1.log":                          "pbx-1.log",
		"pbx1":                               "pbx1",
		"pbx-2":                              "pbx-2",
		"logs/2026-11-23":                    "logs/2026-11-23",
		"20261123":                           "20261123",
		"-":                                  "-",
	} {
		if got := stemOf(name); got != want {
			t.Errorf("%s is of %s, want %s", name, got, want)
		}
	}
}
