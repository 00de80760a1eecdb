/**
 * Whether this host is a virtual machine of a cloud that drops what a machine sends or gets for others. From inside nobody can see
 * how that is set, so it is a warning wherever there is such a check. The firmware says whose machine it is (DMI).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Check, warn } from './check.ts';

interface Cloud {
  name: string;
  isHere(dmi: Dmi): boolean;
  /** What the cloud calls it. */
  check: string;
  remedy: string;
}

type Dmi = (field: string) => string;

/** Microsoft's mark of an Azure machine; others on Hyper-V have the same vendor. */
const AZURE_TAG = '7783-7084-3265-9085-8269-3286-77';

const CLOUDS: readonly Cloud[] = [
  {
    name: 'Amazon EC2',
    isHere: (dmi) =>
      [dmi('sys_vendor'), dmi('board_vendor')].includes('Amazon EC2') || /amazon/i.test(dmi('bios_version')),
    check: 'source/destination check',
    remedy:
      '`aws ec2 modify-instance-attribute --instance-id ID --no-source-dest-check` (of each interface: `aws ec2 modify-network-interface-attribute --network-interface-id ENI --no-source-dest-check`), and a route of the private subnets to this instance',
  },
  {
    name: 'Google Compute Engine',
    isHere: (dmi) => dmi('product_name') === 'Google Compute Engine',
    check: 'IP forwarding check',
    remedy:
      'create the instance with `gcloud compute instances create NAME --can-ip-forward` (an existing one: `gcloud compute instances export`, `canIpForward: true`, `update-from-file`), and `gcloud compute routes create NAT --destination-range 0.0.0.0/0 --next-hop-instance NAME`',
  },
  {
    name: 'Microsoft Azure',
    isHere: (dmi) => dmi('chassis_asset_tag') === AZURE_TAG,
    check: 'IP forwarding setting',
    remedy:
      '`az network nic update --resource-group GROUP --name NIC --ip-forwarding true` for each interface, and a route table of the private subnets with this machine as its next hop (VirtualAppliance)',
  },
  {
    name: 'OpenStack',
    isHere: (dmi) =>
      /^OpenStack (Nova|Compute)$/.test(dmi('product_name')) || dmi('sys_vendor') === 'OpenStack Foundation',
    check: 'port security',
    remedy:
      '`openstack port set --allowed-address ip-address=0.0.0.0/0 PORT` for the port of the private interface (or `--disable-port-security --no-security-group`)',
  },
];

/** `folder`: where the kernel shows DMI. */
export function checkCloud(folder = '/sys/class/dmi/id'): Check[] {
  const cloud = CLOUDS.find(({ isHere }) => isHere((field) => read(join(folder, field))));
  if (cloud === undefined) return [];
  return [
    warn(
      'cloud',
      `this is a machine of ${cloud.name}, whose ${cloud.check} cannot be seen from here`,
      'unless it is off, the cloud drops packets of private hosts before they come here: they are addressed to others',
      cloud.remedy,
    ),
  ];
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
