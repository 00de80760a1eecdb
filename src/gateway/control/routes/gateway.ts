/** Who the gateway is, what it does, and what it runs with. */
import { flagValues } from '../../config/flags.ts';
import { pathText } from '../../config/problems.ts';
import { config, health, status } from '../schemas.ts';
import { type ControlApp, type ControlledGateway, get, plain } from './route.ts';

export function gatewayRoutes(app: ControlApp, gateway: ControlledGateway): void {
  const { running, version } = gateway;
  app.openapi(get('/v1/health', health, 'Whether somebody is there, and who'), (c) =>
    c.json({ ok: true as const, name: running.options.name, version, api: 'v1' as const }, 200),
  );
  app.openapi(get('/v1/status', status, 'What the gateway does'), (c) => c.json(gateway.status(), 200));
  app.openapi(get('/v1/config', config, 'The configuration that runs'), (c) => {
    const { options, document, flags } = running;
    const stronger = flagValues(flags).map(({ path, flag }) => ({ path: pathText(path), flag }));
    return c.json({ file: options.configPath, flags: plain(flags), stronger, config: plain(document) }, 200);
  });
}
