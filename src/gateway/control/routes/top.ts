/** Who moves how much, now. */
import { TopService } from '../../observe/top-service.ts';
import { top } from '../schemas-observe.ts';
import { type ControlApp, type ControlledGateway, get } from './route.ts';

export function topRoutes(app: ControlApp, { record }: ControlledGateway): void {
  const service = new TopService(record);
  app.openapi(get('/v1/top', top, 'Private hosts, destinations and ports by what they move'), async (c) =>
    c.json(await service.read(), 200),
  );
}
