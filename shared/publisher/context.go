package publisher

import (
	"net"

	"github.com/segmentio/analytics-go/v3"
)

// The keys of a Context's fields. As in analytics-go, a key of Extra is written only when the field
// of that name is empty.
const (
	keyApp       = "app"
	keyCampaign  = "campaign"
	keyDevice    = "device"
	keyLibrary   = "library"
	keyLocation  = "location"
	keyNetwork   = "network"
	keyOS        = "os"
	keyPage      = "page"
	keyReferrer  = "referrer"
	keyScreen    = "screen"
	keyIP        = "ip"
	keyDirect    = "direct"
	keyLocale    = "locale"
	keyGroupID   = "groupId"
	keyTimezone  = "timezone"
	keyUserAgent = "userAgent"
	keyTraits    = "traits"
)

// context writes a Context: the fields that are not empty, and Extra.
func (e *encoder) context(c *analytics.Context) error {
	e.buf = append(e.buf, '{')
	start := len(e.buf)
	e.infos(start, c)
	if err := e.structures(start, c); err != nil {
		return err
	}
	if len(c.IP) > 0 {
		if len(c.IP) != net.IPv4len && len(c.IP) != net.IPv6len {
			return errBadIP
		}
		e.key(start, keyIP)
		e.quote(c.IP.String())
	}
	if c.Direct {
		e.key(start, keyDirect)
		e.buf = append(e.buf, "true"...)
	}
	e.named(start, keyLocale, c.Locale)
	e.named(start, keyGroupID, c.GroupID)
	e.named(start, keyTimezone, c.Timezone)
	e.named(start, keyUserAgent, c.UserAgent)
	if len(c.Traits) > 0 {
		e.key(start, keyTraits)
		if err := e.object(c.Traits, 3); err != nil {
			return err
		}
	}
	for key, v := range c.Extra {
		if written(c, key) {
			continue
		}
		e.comma(start)
		e.quote(key)
		e.buf = append(e.buf, ':')
		if err := e.value(v, 3); err != nil {
			return err
		}
	}
	e.buf = append(e.buf, '}')
	return nil
}

// infos writes the objects of a Context that have strings only.
func (e *encoder) infos(start int, c *analytics.Context) {
	if i := &c.App; *i != (analytics.AppInfo{}) {
		e.texts(start, keyApp, "name", i.Name, "version", i.Version, "build", i.Build, "namespace", i.Namespace)
	}
	if i := &c.Campaign; *i != (analytics.CampaignInfo{}) {
		e.texts(start, keyCampaign, "name", i.Name, "source", i.Source, "medium", i.Medium, "term", i.Term, "content",
			i.Content)
	}
	if i := &c.Device; *i != (analytics.DeviceInfo{}) {
		e.texts(start, keyDevice, "id", i.Id, "manufacturer", i.Manufacturer, "model", i.Model, "name", i.Name, "type",
			i.Type, "version", i.Version, "advertisingId", i.AdvertisingID)
	}
	if i := &c.Library; *i != (analytics.LibraryInfo{}) {
		e.texts(start, keyLibrary, "name", i.Name, "version", i.Version)
	}
	if i := &c.OS; *i != (analytics.OSInfo{}) {
		e.texts(start, keyOS, "name", i.Name, "version", i.Version)
	}
	if i := &c.Page; *i != (analytics.PageInfo{}) {
		e.texts(start, keyPage, "hash", i.Hash, "path", i.Path, "referrer", i.Referrer, "search", i.Search, "title", i.Title,
			"url", i.URL)
	}
	if i := &c.Referrer; *i != (analytics.ReferrerInfo{}) {
		e.texts(start, keyReferrer, "type", i.Type, "name", i.Name, "url", i.URL, "link", i.Link)
	}
}

// structures writes the objects of a Context that have other members than strings.
func (e *encoder) structures(start int, c *analytics.Context) error {
	if c.Location != (analytics.LocationInfo{}) {
		if err := e.structure(start, keyLocation, c.Location); err != nil {
			return err
		}
	}
	if c.Network != (analytics.NetworkInfo{}) {
		if err := e.structure(start, keyNetwork, c.Network); err != nil {
			return err
		}
	}
	if c.Screen != (analytics.ScreenInfo{}) {
		return e.structure(start, keyScreen, c.Screen)
	}
	return nil
}

// written reports whether the field with that key was written, which leaves Extra's value out.
func written(c *analytics.Context, key string) bool {
	switch key {
	case keyApp:
		return c.App != (analytics.AppInfo{})
	case keyCampaign:
		return c.Campaign != (analytics.CampaignInfo{})
	case keyDevice:
		return c.Device != (analytics.DeviceInfo{})
	case keyLibrary:
		return c.Library != (analytics.LibraryInfo{})
	case keyLocation:
		return c.Location != (analytics.LocationInfo{})
	case keyNetwork:
		return c.Network != (analytics.NetworkInfo{})
	case keyOS:
		return c.OS != (analytics.OSInfo{})
	case keyPage:
		return c.Page != (analytics.PageInfo{})
	case keyReferrer:
		return c.Referrer != (analytics.ReferrerInfo{})
	case keyScreen:
		return c.Screen != (analytics.ScreenInfo{})
	case keyIP:
		return len(c.IP) > 0
	case keyDirect:
		return c.Direct
	case keyLocale:
		return c.Locale != ""
	case keyGroupID:
		return c.GroupID != ""
	case keyTimezone:
		return c.Timezone != ""
	case keyUserAgent:
		return c.UserAgent != ""
	case keyTraits:
		return len(c.Traits) > 0
	}
	return false
}

// key writes a key that needs no escaping.
func (e *encoder) key(start int, key string) {
	e.comma(start)
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, key...)
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) named(start int, key, value string) {
	if value != "" {
		e.key(start, key)
		e.quote(value)
	}
}

// texts writes an object of strings, given as keys and values in turn, without empty ones.
func (e *encoder) texts(start int, key string, pairs ...string) {
	e.key(start, key)
	e.buf = append(e.buf, '{')
	inner := len(e.buf)
	for i := 0; i < len(pairs); i += 2 {
		e.named(inner, pairs[i], pairs[i+1])
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) structure(start int, key string, v any) error {
	e.key(start, key)
	return e.other(v)
}
