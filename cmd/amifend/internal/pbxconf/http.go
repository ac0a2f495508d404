package pbxconf

// The ports of Asterisk's HTTP server where http.conf names none (main/http.c).
const (
	portHTTP  = 8088
	portHTTPS = 8089
)

// http adds the listeners of the HTTP server, if it serves SIP over WebSocket.
func (f *finder) http() {
	sip := f.modules.loaded("res_pjsip_transport_websocket") || f.modules.loaded("chan_sip")
	sections, err := f.sections("http.conf")
	if err != nil || !sip || !f.modules.loaded("res_http_websocket") {
		return
	}
	general, ok := general(sections)
	if !ok {
		return
	}

	port := portOf(general, "bindport", portHTTP)
	f.httpPort(general, "enabled", "bindaddr", port)
	f.httpPort(general, "tlsenable", "tlsbindaddr", portHTTPS)
}

// httpPort adds the listener that a key enables. Without an address it listens on all.
func (f *finder) httpPort(general *section, enable, bind string, usual uint16) {
	on, ok := general.last(enable)
	if !ok || !isTrue(on.value) {
		return
	}

	l := Listener{Where: at(on, general, enable), Network: "tcp", Port: usual, WebSocket: true}
	if addr, ok := general.last(bind); ok {
		port, reachable := parseBind(addr.value, usual)
		if !reachable {
			return
		}
		l.Where, l.Port = at(addr, general, bind), port
	}
	f.add(l)
}
