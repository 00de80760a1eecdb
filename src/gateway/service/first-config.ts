/** The configuration that `natgate install` writes where there is none. */

/** JSON strings are YAML strings; plain ones where they mean the same. */
function scalar(text: string): string {
  return /^[A-Za-z_][\w.-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text);
}

export function firstConfig(privateInterfaces: readonly string[], publicInterface: string): string {
  const [first = '', ...more] = privateInterfaces.map(scalar);
  const inside = more.length === 0 ? first : `[${[first, ...more].join(', ')}]`;
  return `# Configuration of natgate. After a change:  natgate check && systemctl reload natgate

# Interfaces of the private networks, and the one towards the internet.
private: ${inside}
public: ${scalar(publicInterface)}

# Connections live through \`systemctl restart\`: seconds that everything stays for the next gateway.
engine:
  linger: 15

# Port 8080 of the public address leads to a private web server.
#forwards:
#  - "tcp:8080=192.168.1.10:80"

# Translate to these addresses instead of that of the public interface.
#external: [203.0.113.8-203.0.113.15]

# Ports of the public address that natgate uses; the rest stay with this host.
#ports: 32768-65535

# Let the helper of a protocol that announces further connections read it.
#helpers: [ftp]

# Port 53 of the private address leads to these resolvers.
#dns: [192.0.2.53, 192.0.2.54]
`;
}
