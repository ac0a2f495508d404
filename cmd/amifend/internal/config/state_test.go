package config

import "testing"

func TestStateDirectoryOfTheUnit(t *testing.T) {
	for _, tt := range []struct{ name, env, file, want string }{
		{"no unit", "", "", "/var/lib/amifend"},
		{"unit", "/var/lib/private/amifend", "", "/var/lib/private/amifend"},
		{"unit with two", "/var/lib/a:/var/lib/b", "", "/var/lib/a"},
		{"the file counts", "/var/lib/a", "[state]\ndirectory = '/srv/x'\n", "/srv/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("STATE_DIRECTORY", tt.env)
			c, err := load(t, server+tt.file)
			if err != nil || c.State.Directory != tt.want {
				t.Errorf("%q, %v; want %q", c.State.Directory, err, tt.want)
			}
		})
	}
}
