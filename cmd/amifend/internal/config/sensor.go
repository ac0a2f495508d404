package config

import "github.com/amifend/amifend/firewall"

// Sensor describes how the answers of the PBXs are watched in the kernel.
type Sensor struct {
	Enabled bool   // where the machine allows it
	Group   uint16 // of NFLOG
}

// sensor reads [sensor].
func (l *loader) sensor(raw rawSensor) Sensor {
	s := Sensor{Enabled: get(l, "sensor.enabled", raw.Enabled, true)}

	// Group 0 is the default of other programs.
	n := get(l, "sensor.nflog_group", raw.NFLOGGroup, firewall.DefaultGroup)
	if n < 1 || n > 65535 {
		l.problem("sensor.nflog_group", "%d is out of range; write a number from 1 to 65535", n)
		n = firewall.DefaultGroup
	}
	s.Group = uint16(n)
	return s
}
