package demo

import (
	"bufio"
	"slices"
	"strings"
	"testing"
)

func TestRequestThereAndBack(t *testing.T) {
	for _, want := range []request{
		{method: "REGISTER", account: "201", password: "plum", call: "a"},
		{method: "INVITE", account: "+4930123100", call: "b"},
	} {
		got, err := readRequest(bufio.NewReader(strings.NewReader(string(want.bytes()))))
		if err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}

	for _, status := range []int{statusOK, statusUnauthorized} {
		got, err := readReply(bufio.NewReader(strings.NewReader(string(reply(status)))))
		if err != nil || got != status {
			t.Errorf("got %d, %v; want %d", got, err, status)
		}
	}
}

func TestGarbageIsNoRequest(t *testing.T) {
	for _, text := range []string{
		"", "\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
		"REGISTER sip:a SIP/2.0\r\n", "REGISTER sip:a SIP/2.0\r\n\r\n",
		"REGISTER sip:a SIP/2.0\r\nFrom\r\n\r\n",
	} {
		if r, err := readRequest(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("%q is taken for %+v", text, r)
		}
		if status, err := readReply(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("%q is taken for an answer %d", text, status)
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"":                     {""},
		"a b":                  {"a b"},
		"one two three":        {"one two", "three"},
		"one two\nthree":       {"one two", "three"},
		"unbreakablelong word": {"unbreakablelong", "word"},
	} {
		if got := wrap(text, 8); !slices.Equal(got, want) {
			t.Errorf("wrap(%q): got %q, want %q", text, got, want)
		}
	}
}
